//! What is measured, and how it crosses from process to process.

use std::env;
use std::fs;
use std::time::Duration;

/// Where broker and engine stand, and what the part under test is to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    pub(crate) brokers: String,
    pub(crate) endpoint: String,
    pub(crate) envelope_bytes: usize,
    pub(crate) records: usize,
    pub(crate) window: usize,
    pub(crate) group: String,
    /// Distinguishes the topics of this run on a broker that outlives it.
    pub(crate) run: String,
}

impl Stage {
    pub(crate) fn print(&self) {
        println!("{} {} {} {}", self.brokers, self.endpoint, self.envelope_bytes, self.run);
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Self {
            brokers: words.next()?,
            endpoint: words.next()?,
            envelope_bytes: words.next()?.parse().ok()?,
            run: words.next()?,
            ..Self::default()
        })
    }

    pub(crate) fn to_env(&self, records: usize, window: usize, group: &str) -> Vec<(String, String)> {
        let pairs = [
            ("BROKERS", self.brokers.clone()),
            ("ENDPOINT", self.endpoint.clone()),
            ("RECORDS", records.to_string()),
            ("WINDOW", window.to_string()),
            ("GROUP", group.to_owned()),
            ("RUN", self.run.clone()),
        ];
        pairs.into_iter().map(|(name, value)| (format!("HANDBACK_STAGE_{name}"), value)).collect()
    }

    pub(crate) fn from_env() -> Self {
        let get = |name: &str| env::var(format!("HANDBACK_STAGE_{name}")).expect(name);
        Self {
            brokers: get("BROKERS"),
            endpoint: get("ENDPOINT"),
            envelope_bytes: 0,
            records: get("RECORDS").parse().expect("a number"),
            window: get("WINDOW").parse().expect("a number"),
            group: get("GROUP"),
            run: get("RUN"),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("bench-{}-{name}", self.run)
    }
}

/// The figures of one run.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) records_per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) peak_mib: f64,
    /// Engine call, milliseconds.
    pub(crate) call: (f64, f64),
    /// Outcome record, from produce to acknowledgement, milliseconds; zero where none is written.
    pub(crate) ack: (f64, f64),
}

impl Figures {
    /// `began` is taken at the first call, `self` is made after the last record.
    pub(crate) fn since(began: &Began, records: usize, calls: Vec<u32>, acks: Vec<u32>) -> Self {
        let seconds = began.at.elapsed().as_secs_f64();
        let cpu = cpu_seconds() - began.cpu;
        Self {
            records_per_second: records as f64 / seconds,
            cpu_us: cpu * 1e6 / records as f64,
            peak_mib: peak_mib(),
            call: percentiles(calls),
            ack: percentiles(acks),
        }
    }

    pub(crate) fn print(&self) {
        let Self { records_per_second, cpu_us, peak_mib, call, ack } = self;
        println!("figures {records_per_second} {cpu_us} {peak_mib} {} {} {} {}", call.0, call.1, ack.0, ack.1);
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("figures "))?;
        let n: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [records_per_second, cpu_us, peak_mib, c50, c99, a50, a99] = n[..] else { return None };
        Some(Self { records_per_second, cpu_us, peak_mib, call: (c50, c99), ack: (a50, a99) })
    }

    /// Each figure's own median.
    pub(crate) fn median(runs: Vec<Self>) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            records_per_second: of(|f| f.records_per_second),
            cpu_us: of(|f| f.cpu_us),
            peak_mib: of(|f| f.peak_mib),
            call: (of(|f| f.call.0), of(|f| f.call.1)),
            ack: (of(|f| f.ack.0), of(|f| f.ack.1)),
        }
    }

    pub(crate) fn heading() -> String {
        format!(
            "{:<28} {:>6}  {:>9}  {:>10}  {:>8}  {:>17}  {:>17}",
            "", "window", "records/s", "CPU us/rec", "peak MiB", "call p50/p99 ms", "ack p50/p99 ms"
        )
    }

    pub(crate) fn row(&self, name: &str, window: usize) -> String {
        let pair = |(p50, p99): (f64, f64)| if p99 > 0.0 { format!("{p50:.1} / {p99:.1}") } else { "-".to_owned() };
        format!(
            "{name:<28} {window:>6}  {:>9.0}  {:>10.1}  {:>8.0}  {:>17}  {:>17}",
            self.records_per_second,
            self.cpu_us,
            self.peak_mib,
            pair(self.call),
            pair(self.ack)
        )
    }
}

/// The moment of the first call.
#[derive(Debug)]
pub(crate) struct Began {
    at: tokio::time::Instant,
    cpu: f64,
}

impl Began {
    pub(crate) fn now() -> Self {
        Self { at: tokio::time::Instant::now(), cpu: cpu_seconds() }
    }
}

/// Microseconds as they are kept per record.
pub(crate) fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

pub(crate) fn percentiles(mut values: Vec<u32>) -> (f64, f64) {
    values.sort_unstable();
    let at = |share: f64| {
        let index = (values.len() as f64 * share) as usize;
        values.get(index.min(values.len().saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1000.0)
    };
    (at(0.5), at(0.99))
}

/// User and system time of this process, all threads, from `/proc/self/stat` (10 ms steps).
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Peak resident memory from `/proc/self/status`.
fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
