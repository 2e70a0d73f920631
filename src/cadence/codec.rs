//! tonic's codec with buffers of the size that our messages have.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// Bytes that a request's buffer begins with: a reply of half a KiB with its frame. It grows as needed.
const REQUEST: usize = 1024;

/// The same of an answer: those of the respond calls are empty.
const ANSWER: usize = 256;

/// How much is written before the transport is asked to take it: tonic's default.
const YIELD: usize = 32 * 1024;

/// tonic's takes 8 KiB for each direction of each call.
#[derive(Debug)]
pub(crate) struct Small<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Small<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Small<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(REQUEST, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(ANSWER, YIELD))
    }
}
