//! JSON documents written field by field. serde escapes the name of every field of every document anew, which for
//! outcomes costs more than their values; here names are taken as they are.

use super::json;
use super::time::Millis;

/// One object on its way into a buffer. The order of calls is the order of fields.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

/// Appends one object.
pub(crate) fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    write(&mut Object { out, first: true });
    out.push(b'}');
}

impl Object<'_> {
    /// Names are our own: letters and underscores, nothing to escape.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        debug_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Any text, escaped.
    pub(crate) fn text(&mut self, name: &'static str, text: Option<&str>) {
        let out = self.name(name);
        match text {
            Some(text) => json::write_value(out, text),
            None => out.extend_from_slice(b"null"),
        }
    }

    /// A word of the contract: nothing to escape.
    pub(crate) fn word(&mut self, name: &'static str, word: Option<&str>) {
        let Some(word) = word else { return self.raw(name, "null") };
        debug_assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{word}");
        let out = self.name(name);
        out.push(b'"');
        out.extend_from_slice(word.as_bytes());
        out.push(b'"');
    }

    /// JSON as it is.
    pub(crate) fn raw(&mut self, name: &'static str, json: &str) {
        self.name(name).extend_from_slice(json.as_bytes());
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &'static str, number: Option<i64>) {
        let Some(number) = number else { return self.raw(name, "null") };
        json::write_value(self.name(name), &number);
    }

    /// True or false.
    pub(crate) fn flag(&mut self, name: &'static str, flag: bool) {
        self.raw(name, if flag { "true" } else { "false" });
    }

    /// A time.
    pub(crate) fn time(&mut self, name: &'static str, time: Option<Millis>) {
        let Some(time) = time else { return self.raw(name, "null") };
        let out = self.name(name);
        out.push(b'"');
        time.write(out);
        out.push(b'"');
    }

    /// An object in the object.
    pub(crate) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Object<'_>)) {
        object(self.name(name), write);
    }
}
