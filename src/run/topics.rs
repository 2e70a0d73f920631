//! Whether the topics that are written are there: nobody should learn of a misspelt name when the first dead letter is due.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Duties;
use crate::admin::Health;
use crate::config::Settings;
use crate::kafka::{Producer, Seen};

/// How often topics are looked at while one is missing.
const MISSING: Duration = Duration::from_secs(2);

/// How often otherwise, as for the topics that are read: one small question a topic. A write to a topic that was deleted waits
/// for half a minute before it fails.
const THERE: Duration = Duration::from_secs(5);

/// Longest that one look takes: the end of the process may have to wait for it.
const LOOK: Duration = Duration::from_secs(2);

/// The topics that this process writes, each once, with the setting that names it. Those that it reads their consumers tell of.
fn written(settings: &Settings, duties: Duties) -> Vec<(String, &'static str)> {
    let topics = &settings.topics;
    let mut written = Vec::new();
    if duties.bridge {
        written.push((topics.outcomes.clone(), "topics.outcomes"));
        written.push((topics.dead_letters.clone(), "topics.dead_letters"));
        written.extend(topics.retry.iter().map(|name| (name.clone(), "topics.retry")));
    }
    if duties.dispatch {
        for route in &settings.dispatch.routes {
            let (name, setting) = match route.topic.as_str() {
                "" => (&topics.requests, "topics.requests"),
                _ => (&route.topic, "dispatch.routes"),
            };
            if !written.iter().any(|(known, _)| known == name) {
                written.push((name.clone(), setting));
            }
        }
    }
    written
}

/// Looks until `stop` is cancelled.
pub(super) async fn watch(
    settings: Settings,
    duties: Duties,
    producer: Producer,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let written = written(&settings, duties);
    let within = settings.kafka.metadata_timeout.min(LOOK);
    let look = async {
        loop {
            let mut missing = false;
            for (topic, setting) in &written {
                let (asked, name) = (producer.clone(), topic.clone());
                let seen = tokio::task::spawn_blocking(move || asked.topic(&name, within)).await;
                missing |= tell(&health, topic, setting, seen.unwrap_or(Seen::Unknown));
            }
            tokio::time::sleep(if missing { MISSING } else { THERE }).await;
        }
    };
    stop.run_until_cancelled(look).await;
}

/// Raises or clears what is to be said of a topic; answers whether something is wrong with it.
fn tell(health: &Health, topic: &str, setting: &str, seen: Seen) -> bool {
    let key = format!("kafka/topic/{topic}");
    let reason = match seen {
        Seen::There => {
            health.clear(&key);
            return false;
        }
        // The brokers' silence is told by others.
        Seen::Unknown => return false,
        Seen::Missing => format!(
            "topic {topic} ({setting}) does not exist, or our user may not see it: correct the name, create it with \
             `handback topics create`, or grant DESCRIBE and WRITE on it. What is written there waits"
        ),
        Seen::Forbidden => format!(
            "our user may not see topic {topic} ({setting}): grant DESCRIBE and WRITE on it. What is written there waits"
        ),
    };
    health.raise(&key, reason);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Route;

    #[test]
    fn every_topic_that_is_written_is_looked_at_once() {
        let mut settings = Settings::default();
        let routes = ["charges", "", "charges"].map(|name| Route { topic: name.into(), ..Route::default() });
        settings.dispatch.routes = routes.into();
        let all = written(&settings, Duties { bridge: true, dispatch: true });
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let retry: Vec<&str> = settings.topics.retry.iter().map(String::as_str).collect();
        let expected =
            [&["activity-outcomes", "activity-replies-dlq"], &retry[..], &["charges", "activity-requests"]].concat();
        assert_eq!(names, expected);
        assert_eq!(written(&settings, Duties { bridge: false, dispatch: true }).len(), 2);
    }

    #[test]
    fn a_missing_topic_is_told_by_name_and_setting_until_it_is_there() {
        let health = Health::new();
        assert!(tell(&health, "outcoms", "topics.outcomes", Seen::Missing));
        let (_, reason) = health.reasons().remove(0);
        assert!(["outcoms", "topics.outcomes", "topics create"].iter().all(|part| reason.contains(part)), "{reason}");
        assert!(!tell(&health, "outcoms", "topics.outcomes", Seen::Unknown) && !health.is_ready());
        assert!(!tell(&health, "outcoms", "topics.outcomes", Seen::There) && health.is_ready());
    }
}
