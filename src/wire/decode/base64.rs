//! Base64 in every spelling that services use.

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ANY: GeneralPurpose = GeneralPurpose::new(&STANDARD, ANY_PADDING);
const URL_SAFE_ANY: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);

/// Decodes base64 in the standard or the URL-safe alphabet, padded or not. White space is passed over: many encoders break
/// lines (MIME, PEM, `base64` on the command line) or end the last one.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    // Without it the text is decoded where it stands, as nearly always.
    decode_solid(text).or_else(|| {
        let solid: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if solid.len() < text.len() { decode_solid(&solid) } else { None }
    })
}

/// The same of text without white space.
fn decode_solid(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    // The exact size: a buffer without room to spare becomes `Bytes` without another allocation.
    let mut bytes = vec![0; (text.len() - padding) * 3 / 4];
    let written = match STANDARD_ANY.decode_slice_unchecked_len(text, &mut bytes) {
        Err(DecodeError::InvalidByte(_, b'-' | b'_')) => URL_SAFE_ANY.decode_slice_unchecked_len(text, &mut bytes),
        other => other,
    };
    (written.ok()? == bytes.len()).then_some(bytes)
}

/// Decoding into a slice of the exact size.
trait DecodeExact {
    fn decode_slice_unchecked_len(&self, text: &[u8], into: &mut [u8]) -> Result<usize, DecodeError>;
}

impl DecodeExact for GeneralPurpose {
    fn decode_slice_unchecked_len(&self, text: &[u8], into: &mut [u8]) -> Result<usize, DecodeError> {
        self.decode_slice(text, into).map_err(|error| match error {
            base64::DecodeSliceError::DecodeError(error) => error,
            // A text whose size cannot be right.
            base64::DecodeSliceError::OutputSliceTooSmall => DecodeError::InvalidLength(text.len()),
        })
    }
}
