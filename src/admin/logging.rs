//! The log: one event is one line, whatever the texts of others that it quotes.

use std::fmt::{self, Debug};
use std::io;

use anstyle::Style;
use tracing::Dispatch;
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};

use super::printable::{self, Printable};
use crate::config::LogFormat;

/// Writes each event as a line to `writer`: what would act in a message or in a field is written as an escape.
#[must_use]
pub fn log_to<W>(writer: W, filter: EnvFilter, format: LogFormat) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Text => lines.fmt_fields(Fields).with_writer(writer).finish().into(),
        LogFormat::Json => lines.json().with_writer(JsonLines(writer)).finish().into(),
    }
}

/// Message and fields as text.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = FieldWriter { writer, begun: false, written: Ok(()) };
        fields.record(&mut line);
        line.written
    }
}

struct FieldWriter<'w> {
    writer: Writer<'w>,
    begun: bool,
    written: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            write!(self.writer, " ")?;
        }
        if name != "message" {
            let style = if self.writer.has_ansi_escapes() { Style::new().italic() } else { Style::new() };
            write!(self.writer, "{style}{name}{style:#}=")?;
        }
        write!(self.writer, "{:?}", Printable(value))
    }
}

impl Visit for FieldWriter<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Where a record of the `log` crate came from: stands before the message already.
        if self.written.is_ok() && !field.name().starts_with("log.") {
            self.written = self.write(field.name().trim_start_matches("r#"), value);
        }
    }
}

/// JSON escapes C0 controls only; a terminal obeys others too.
struct JsonLines<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for JsonLines<W> {
    type Writer = JsonLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        JsonLine(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        JsonLine(self.0.make_writer_for(meta))
    }
}

struct JsonLine<W>(W);

impl<W: io::Write> io::Write for JsonLine<W> {
    /// Takes an event as a whole, as it is written by the subscriber.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = printable::in_json(text.trim_end_matches('\n'));
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;

    use super::log_to;
    use crate::admin::Health;
    use crate::admin::printable::acts;
    use crate::config::LogFormat;

    /// What somebody could write into a name, a reason or a message.
    const FORGED: &str = "orders\n2026-11-29T00:00:00Z ERROR handback: all is lost\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}";

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `events` write; colours of our own taken out.
    fn lines(format: LogFormat, events: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = log_to(move || writer.clone(), EnvFilter::new("trace"), format);
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::dispatcher::with_default(&log, || {
            tracing::callsite::rebuild_interest_cache();
            events();
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        anstream::adapter::strip_str(&text).to_string().split_terminator('\n').map(str::to_owned).collect()
    }

    /// Each way in which the program hands a text to its log.
    fn say_it_in_every_way() -> usize {
        let error = io::Error::other(FORGED);
        tracing::error!("{FORGED}");
        tracing::warn!(domain = FORGED, "a field that is text");
        tracing::warn!(domain = %FORGED, "a field by its display");
        tracing::warn!(domain = ?Some(FORGED), "a field by its debug");
        tracing::warn!(%error, "an error");
        tracing::warn!(error = &error as &dyn std::error::Error, "an error as a value");
        tracing::error!(target: "librdkafka", client = "c", facility = FORGED, "{FORGED}");
        Health::new().raise(FORGED, FORGED);
        8
    }

    #[test]
    fn a_text_of_others_makes_no_line_of_its_own_in_the_log() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let mut said = 0;
            let lines = lines(format, || said = say_it_in_every_way());
            assert_eq!(lines.len(), said, "{format:?}: {lines:#?}");
            for line in lines {
                assert!(!line.chars().any(acts), "{format:?}: {line:?}");
                assert!(line.contains("orders"), "{format:?}: the text is still to be read: {line:?}");
                if format == LogFormat::Json {
                    serde_json::from_str::<serde_json::Value>(&line).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_line_of_the_log_looks_as_it_always_did() {
        let lines = lines(LogFormat::Text, || tracing::info!(topic = "replies", partition = 3, "went {}", "well"));
        assert!(
            lines[0].ends_with(r#" INFO handback::admin::logging::tests: went well topic="replies" partition=3"#),
            "{lines:?}"
        );
    }
}
