//! Requests: `Request::parse`.

use handback::wire::{Input, Request};

use super::text::expanded;
use super::{fit_for_people, measured};

/// How many times its size a request may cost. The dearest are short arguments: a pointer and a length for every two
/// bytes, in a list that grows.
const TIMES: usize = 32;

pub(crate) fn check(bytes: &[u8]) {
    let value = expanded(bytes);
    let request = match measured(value.len(), TIMES, || Request::parse(&value)) {
        Ok(request) => request,
        Err(fault) => return fit_for_people(&fault.to_string()),
    };
    assert!(super::is_object(&value), "only an object is a request");
    if let Some(Input::Bytes(bytes)) = &request.input {
        // The other way to the same bytes: what is JSON after all stays what it is.
        match Input::from_payload(bytes.clone()) {
            Input::Bytes(same) => assert_eq!(&same, bytes),
            Input::Json(values) => assert!(values.iter().all(|raw| !raw.get().is_empty())),
        }
    }
    let written = request.to_value();
    let again = match Request::parse(&written) {
        Ok(again) => again,
        Err(fault) => panic!("what was written cannot be read: {fault}"),
    };
    assert_eq!(again.task_token, request.task_token);
    assert_eq!(again.activity, request.activity);
    assert_eq!(again.to_value(), written, "what was written is read otherwise");
}
