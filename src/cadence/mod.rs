//! The only room that knows tonic, prost and the generated code.

mod authorization;
mod client;
pub(crate) mod codec;
mod domains;
mod line;
mod looking;
mod pace;
mod polling;
mod requests;
mod socket;
mod status;
mod transport;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use transport::ConnectError;

/// Generated from the vendored protos.
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
pub mod api {
    tonic::include_proto!("uber.cadence.api.v1");
}
