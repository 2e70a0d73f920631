//! Task tokens as the real server writes and reads them.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;
use tonic::Code;
use uuid::Uuid;

use super::refusal::Refusal;

/// The schedule id that stands for "find the activity by its id".
pub(super) const BY_ID: i64 = -23;

/// What a token says, or the same things from a call by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) domain_id: String,
    pub(super) workflow_id: String,
    pub(super) workflow_type: String,
    pub(super) run_id: String,
    pub(super) schedule_id: i64,
    pub(super) attempt: i64,
    pub(super) activity_id: String,
    pub(super) activity_type: String,
}

impl Claims {
    /// The token: JSON in the field order and with the escapes of Go's encoder.
    pub(super) fn to_token(&self) -> Bytes {
        let mut out = String::with_capacity(320);
        out.push('{');
        text(&mut out, "domainId", &self.domain_id);
        text(&mut out, ",\"workflowId", &self.workflow_id);
        text(&mut out, ",\"workflowType", &self.workflow_type);
        text(&mut out, ",\"runId", &self.run_id);
        // Writing to a String cannot fail.
        let _ = write!(out, ",\"scheduleId\":{},\"scheduleAttempt\":{}", self.schedule_id, self.attempt);
        text(&mut out, ",\"activityId", &self.activity_id);
        text(&mut out, ",\"activityType", &self.activity_type);
        out.push('}');
        Bytes::from(out)
    }

    /// Reads a token the way Go's decoder does: keys in any case, the last of a duplicate key wins, unknown keys are
    /// skipped, `null` changes nothing.
    ///
    /// # Errors
    /// `UNKNOWN` with the decoder's own text: the real server passes it on as it is.
    pub(super) fn from_token(token: &[u8]) -> Result<Claims, Refusal> {
        let value: Value = serde_json::from_slice(token).map_err(|fault| unreadable(token, &fault))?;
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Null => return Ok(Claims::default()),
            other => return Err(mismatch(kind(&other), "value of type common.TaskToken")),
        };
        let mut claims = Claims::default();
        for (key, value) in fields {
            claims.set(&key.to_ascii_lowercase(), value)?;
        }
        Ok(claims)
    }

    fn set(&mut self, key: &str, value: Value) -> Result<(), Refusal> {
        let (into, name) = match key {
            "domainid" => (&mut self.domain_id, "domainId"),
            "workflowid" => (&mut self.workflow_id, "workflowId"),
            "workflowtype" => (&mut self.workflow_type, "workflowType"),
            "runid" => (&mut self.run_id, "runId"),
            "activityid" => (&mut self.activity_id, "activityId"),
            "activitytype" => (&mut self.activity_type, "activityType"),
            "scheduleid" => return number(&mut self.schedule_id, "scheduleId", &value),
            "scheduleattempt" => return number(&mut self.attempt, "scheduleAttempt", &value),
            _ => return Ok(()),
        };
        match value {
            Value::String(text) => *into = text,
            Value::Null => {}
            other => return Err(mismatch(kind(&other), &format!("struct field TaskToken.{name} of type string"))),
        }
        Ok(())
    }
}

/// Reads a UUID in any spelling that Cadence accepts.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}

fn number(into: &mut i64, name: &str, value: &Value) -> Result<(), Refusal> {
    match (value, value.as_i64()) {
        (_, Some(number)) => *into = number,
        (Value::Null, _) => {}
        (other, None) => {
            let kind = if other.is_number() { format!("number {other}") } else { kind(other).to_owned() };
            return Err(mismatch(&kind, &format!("struct field TaskToken.{name} of type int64")));
        }
    }
    Ok(())
}

fn text(out: &mut String, key: &str, value: &str) {
    // The comma and the opening quote of all keys but the first come with the key.
    if !key.starts_with(',') {
        out.push('"');
    }
    out.push_str(key);
    out.push_str("\":\"");
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn mismatch(kind: &str, target: &str) -> Refusal {
    Refusal::plain(Code::Unknown, format!("json: cannot unmarshal {kind} into Go {target}"))
}

fn unreadable(token: &[u8], fault: &serde_json::Error) -> Refusal {
    if fault.is_eof() {
        return Refusal::plain(Code::Unknown, "unexpected end of JSON input");
    }
    // serde_json counts columns from one and points at the offending byte; tokens have no line breaks.
    let offending = token.get(fault.column().saturating_sub(1)).copied().unwrap_or(b'?');
    let trailing = fault.to_string().starts_with("trailing");
    // Go has more phrases than these two; which one it takes inside a broken object is not imitated.
    let place = if trailing { "after top-level value" } else { "looking for beginning of value" };
    Refusal::plain(Code::Unknown, format!("invalid character '{}' {place}", quoted(offending)))
}

/// A byte as Go quotes it in its complaints.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "\\'".to_owned(),
        b'\\' => "\\\\".to_owned(),
        0..=0x1f | 0x7f => format!("\\x{byte:02x}"),
        other => char::from(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_has_the_field_order_and_escapes_of_the_real_server() {
        let claims = Claims {
            domain_id: "d".into(),
            workflow_id: "w<1>".into(),
            workflow_type: "t".into(),
            run_id: "r".into(),
            schedule_id: 5,
            attempt: 0,
            activity_id: "a\"&".into(),
            activity_type: "b".into(),
        };
        let token = claims.to_token();
        assert_eq!(
            std::str::from_utf8(&token).unwrap(),
            r#"{"domainId":"d","workflowId":"w\u003c1\u003e","workflowType":"t","runId":"r","scheduleId":5,"scheduleAttempt":0,"activityId":"a\"\u0026","activityType":"b"}"#
        );
        assert_eq!(Claims::from_token(&token), Ok(claims));
    }
}
