//! The invitation to answer an activity by hand.

use std::fmt::Write as _;

use anstyle::Style;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::admin::Printable;
use crate::config::Settings;
use crate::wire::Request;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// What to paste to answer `request`.
///
/// This is the one place where handback shows a task token: it is the token of an activity that waits for whoever reads
/// this terminal, on an engine that ends with this process.
pub(super) fn invitation(request: &Request, settings: &Settings, program: &str) -> String {
    let token = STANDARD.encode(request.task_token.bytes());
    let (brokers, topic) = (&settings.kafka.brokers, &settings.topics.replies[0]);
    let workflow = Printable(request.activity.as_ref().map_or("", |activity| &activity.workflow_id));
    let mut text = format!("\n{BOLD}{workflow} waits for you.{BOLD:#} Answer it from another terminal:\n\n");
    let _ = writeln!(
        text,
        "HANDBACK__KAFKA__BROKERS={brokers} {program} reply complete --token {token} --result '\"ship it\"'"
    );
    let _ = writeln!(text, "\n{DIM}or with any Kafka client:{DIM:#}\n");
    let _ = writeln!(text, r#"echo '{{"task_token":"{token}","result":"ship it"}}' | kcat -P -b {brokers} -t {topic}"#);
    let _ = writeln!(
        text,
        "\n{DIM}python:{DIM:#} p = confluent_kafka.Producer({{'bootstrap.servers': '{brokers}'}}); \
         p.produce('{topic}', '{{\"task_token\":\"{token}\",\"result\":\"ship it\"}}'); p.flush()"
    );
    text
}
