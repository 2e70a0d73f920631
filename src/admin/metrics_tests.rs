//! Each figure is shown under its name, from the beginning.

use std::time::Duration;

use super::Metrics;
use crate::admin::{BreakerGauge, EngineMethod};
use crate::wire::OutcomeKind;

fn has(metrics: &Metrics, line: &str) -> bool {
    metrics.encode().lines().any(|l| l == line)
}

#[test]
fn each_outcome_is_counted_under_its_own_name() {
    let metrics = Metrics::new();
    for (index, kind) in OutcomeKind::ALL.into_iter().enumerate() {
        assert!(has(&metrics, &format!("handback_outcomes_total{{outcome=\"{kind}\"}} 0")), "{kind}");
        (0..=index).for_each(|_| metrics.outcome(kind));
    }
    for (index, kind) in OutcomeKind::ALL.into_iter().enumerate() {
        assert!(has(&metrics, &format!("handback_outcomes_total{{outcome=\"{kind}\"}} {}", index + 1)), "{kind}");
    }
}

#[test]
fn calls_are_counted_by_method_and_code_and_timed_by_method() {
    let metrics = Metrics::new();
    for (index, method) in EngineMethod::ALL.into_iter().enumerate() {
        assert_eq!(method as usize, index);
        metrics.engine_call(method, "OK", Duration::from_millis(4));
        metrics.engine_call(method, "NOT_FOUND", Duration::from_millis(40));
        metrics.engine_call(method, "no such code", Duration::from_secs(60));
        let method = method.as_str();
        for code in ["OK", "NOT_FOUND", "OTHER"] {
            let line = format!("handback_engine_calls_total{{method=\"{method}\",code=\"{code}\"}} 1");
            assert!(has(&metrics, &line), "{line}");
        }
        let bucket = format!("handback_engine_call_seconds_bucket{{le=\"0.005\",method=\"{method}\"}} 1");
        assert!(has(&metrics, &bucket), "{}", metrics.encode());
        assert!(has(&metrics, &format!("handback_engine_call_seconds_count{{method=\"{method}\"}} 3")));
    }
}

#[test]
fn a_partition_that_was_given_away_is_shown_no_more() {
    let metrics = Metrics::new();
    metrics.lag("replies", 3, 17);
    metrics.oldest_unsettled("replies", 3, 1.5);
    assert!(has(&metrics, "handback_lag_records{topic=\"replies\",partition=\"3\"} 17"));
    assert!(has(&metrics, "handback_oldest_unsettled_seconds{topic=\"replies\",partition=\"3\"} 1.5"));
    metrics.forget_partition("replies", 3);
    assert!(!metrics.encode().contains("partition=\"3\""));
}

#[test]
fn workers_are_told_apart_and_an_impossible_one_does_no_harm() {
    let metrics = Metrics::new();
    metrics.in_flight(0, 5, 500);
    metrics.in_flight(1, 6, 600);
    metrics.breaker(1, BreakerGauge::Open);
    metrics.in_flight(usize::MAX, 1, 1);
    assert!(has(&metrics, "handback_in_flight_records{worker=\"0\"} 5"));
    assert!(has(&metrics, "handback_in_flight_bytes{worker=\"1\"} 600"));
    assert!(has(&metrics, "handback_breaker_state{worker=\"1\"} 2"));
}

#[test]
fn every_metric_says_what_it_is() {
    let metrics = Metrics::new();
    metrics.late_finish();
    metrics.commit_failed();
    metrics.produce_retry();
    metrics.dead_letter();
    metrics.flood_stopped();
    let text = metrics.encode();
    for name in ["late_finishes", "commit_failures", "produce_retries", "dead_letters", "flood_stops"] {
        assert!(has(&metrics, &format!("handback_{name}_total 1")), "{text}");
    }
    let helps = text.lines().filter(|line| line.starts_with("# HELP handback_")).count();
    assert_eq!(helps, text.lines().filter(|line| line.starts_with("# TYPE ")).count(), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_name_cannot_add_a_line_to_the_metrics() {
    let metrics = Metrics::new();
    metrics.lag("replies\nhandback_ready 1\n\"\\", 0, 7);
    let text = metrics.encode();
    assert!(text.contains(r#"{topic="replies\nhandback_ready 1\n\"\\",partition="0"} 7"#), "{text}");
    assert!(!text.lines().any(|line| line == "handback_ready 1"), "{text}");
}

/// Names of all metrics as they are registered: most are shown only once they have a value.
fn registered() -> Vec<String> {
    let sources = [include_str!("metrics.rs"), include_str!("dispatch_metrics.rs"), include_str!("held_metrics.rs")];
    let calls = sources.iter().flat_map(|source| source.split("to.register").skip(1));
    let name = |call: &str| {
        let (arguments, _) = call.split_once(';').unwrap();
        let name = arguments.split('"').nth(1).unwrap();
        let unit = arguments.split("Unit::").nth(1).map(|rest| rest.split(',').next().unwrap().to_lowercase());
        unit.map_or_else(|| format!("handback_{name}"), |unit| format!("handback_{name}_{unit}"))
    };
    calls.map(name).collect()
}

#[test]
fn the_page_on_operations_names_every_metric() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let names = registered();
    for name in &names {
        let has_row = ["", "_total", "_info"].iter().any(|ending| page.contains(&format!("| `{name}{ending}` |")));
        assert!(has_row, "docs/operations.md has no row for {name}");
    }
    let shown = Metrics::new().encode();
    let unknown = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let unknown: Vec<_> = unknown.filter(|(name, _)| !names.iter().any(|known| known == name)).collect();
    assert!(names.len() >= 26 && unknown.is_empty(), "{names:?} {unknown:?}");
}
