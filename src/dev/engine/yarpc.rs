//! What YARPC asks of a call before Cadence sees it.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;
use tonic::Code;
use tonic::codegen::http::{HeaderMap, request::Parts};

use super::method::Method;
use super::refusal::Refusal;

/// The YARPC service name of a Cadence frontend.
pub(super) const SERVICE: &str = "cadence-frontend";
/// Length of the prefix of a gRPC message: a flag and a length.
pub(super) const PREFIX: usize = 5;

/// A call that may be carried out.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) deadline: Instant,
    pub(super) caller: String,
}

/// Checks the metadata of a call.
pub(super) fn admit(head: &Parts) -> Result<Call, Refusal> {
    once_each(&head.headers)?;
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = match text("rpc-encoding") {
        "" => sub_type(text("content-type")),
        named => named,
    };
    let (service, caller) = (text("rpc-service"), text("rpc-caller"));
    let wanted = [("service name", service), ("caller name", caller), ("encoding", encoding)];
    let missing: Vec<&str> = wanted.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(Refusal::at_the_door(Code::InvalidArgument, format!("missing {}", missing.join(", "))));
    }
    let method = route(head.uri.path(), service, encoding)?;
    let Some(time) = text("grpc-timeout").parse_timeout() else {
        return Err(Refusal::transport(Code::InvalidArgument, "missing TTL"));
    };
    let call = Call { method, deadline: Instant::now() + time, caller: caller.to_owned() };
    // JSON is an encoding of the real server too, and a binary message is never JSON.
    if encoding == "json" { Err(call.undecodable("json", "invalid character")) } else { Ok(call) }
}

impl Call {
    /// The answer to a body that is not what the encoding says.
    pub(super) fn undecodable(&self, encoding: &str, fault: &str) -> Refusal {
        let procedure = procedure(self.method.path());
        let caller = &self.caller;
        let text = format!(
            "failed to decode \"{encoding}\" request body for procedure \"{procedure}\" of service \"{SERVICE}\" from caller \"{caller}\": {fault}"
        );
        Refusal::transport(Code::InvalidArgument, text)
    }
}

fn once_each(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys() {
        // These belong to gRPC and never reach YARPC.
        let internal = name.as_str().starts_with("grpc-") || name.as_str() == "te";
        let values: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        if values.len() > 1 && !internal {
            let text = format!("header has more than one value: {name}:[{}]", values.join(" "));
            return Err(Refusal::at_the_door(Code::InvalidArgument, text));
        }
    }
    Ok(())
}

fn route(path: &str, service: &str, encoding: &str) -> Result<Method, Refusal> {
    let refuse = |text| Err(Refusal::at_the_door(Code::Unimplemented, text));
    if service != SERVICE {
        return refuse(format!("unrecognized service name \"{service}\", available services: \"{SERVICE}\""));
    }
    match Method::from_path(path) {
        Some(method) if matches!(encoding, "proto" | "json") => Ok(method),
        _ => refuse(format!("unrecognized procedure \"{}\" for service \"{SERVICE}\"", procedure(path))),
    }
}

/// YARPC's name of a path.
fn procedure(path: &str) -> String {
    let path = path.trim_start_matches('/');
    path.rsplit_once('/').map_or_else(|| path.to_owned(), |(service, method)| format!("{service}::{method}"))
}

/// The encoding that a content type names: `application/grpc+proto`.
fn sub_type(content_type: &str) -> &str {
    let rest = content_type.strip_prefix("application/grpc").unwrap_or_default();
    rest.strip_prefix(['+', ';']).unwrap_or_default()
}

trait Timeout {
    fn parse_timeout(&self) -> Option<Duration>;
}

impl Timeout for str {
    /// `grpc-timeout`: at most eight digits and a unit.
    fn parse_timeout(&self) -> Option<Duration> {
        let unit = self.chars().last()?;
        let digits = self.strip_suffix(unit)?;
        if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let amount: u64 = digits.parse().ok()?;
        match unit {
            'H' => Some(Duration::from_secs(amount * 3600)),
            'M' => Some(Duration::from_secs(amount * 60)),
            'S' => Some(Duration::from_secs(amount)),
            'm' => Some(Duration::from_millis(amount)),
            'u' => Some(Duration::from_micros(amount)),
            'n' => Some(Duration::from_nanos(amount)),
            _ => None,
        }
    }
}

/// The message inside a request body.
pub(super) fn unframe(mut body: Bytes) -> Result<Bytes, Refusal> {
    let length = body.get(1..PREFIX).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
    match (body.first(), length) {
        (Some(0), Some(length)) if body.len() == PREFIX + length => Ok(body.split_off(PREFIX)),
        (Some(1), _) => Err(Refusal::at_the_door(Code::Unimplemented, "grpc: compressed messages are not supported")),
        _ => Err(Refusal::at_the_door(Code::Internal, "grpc: the request is not one message")),
    }
}

/// A message as a response body.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(PREFIX + message.len());
    body.put_u8(0);
    // Messages are bounded far below 4 GiB by what the engine holds.
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits_and_a_unit() {
        assert_eq!("99999999H".parse_timeout(), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!("250m".parse_timeout(), Some(Duration::from_millis(250)));
        // More hours than there are seconds in 64 bits would overflow.
        for wrong in ["", "S", "5", "+5S", "-5S", "100000000S", "18446744073709551615H", "5\u{e9}", "5 S"] {
            assert_eq!(wrong.parse_timeout(), None, "{wrong:?}");
        }
    }
}
