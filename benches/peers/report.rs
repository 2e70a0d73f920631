//! Progress, tables, and the files that the documentation shows.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::game::{Figures, Half, Rules};
use super::peer::Peer;
use super::plot;
use super::theatre::stage::ENVELOPE;

/// Every run of one peer.
struct Row {
    peer: Peer,
    load: Vec<Figures>,
    own_table: Vec<Figures>,
}

pub(crate) struct Report {
    rows: Vec<Row>,
    load: Rules,
    runs: usize,
    closing: Vec<(f64, f64)>,
}

impl Report {
    pub(crate) fn new(peers: &[Peer], load: &Rules, runs: usize) -> Self {
        let rows = peers.iter().map(|peer| Row { peer: *peer, load: Vec::new(), own_table: Vec::new() }).collect();
        Self { rows, load: load.clone(), runs, closing: Vec::new() }
    }

    pub(crate) fn load(&mut self, peer: Peer, figures: Figures) {
        let Figures { cold, warm, peak_mib, first_call_ms, low_p50_ms, low_p99_ms } = figures;
        println!(
            "{:<29} cold {:.0}/s {:.1} us, warm {:.0}/s {:.1} us, {peak_mib:.0} MiB, first call {first_call_ms:.0} ms, \
             low load {low_p50_ms:.2} / {low_p99_ms:.2} ms",
            peer.title(),
            cold.per_second,
            cold.cpu_us,
            warm.per_second,
            warm.cpu_us
        );
        self.row(peer).load.push(figures);
    }

    pub(crate) fn own_table(&mut self, peer: Peer, figures: Figures) {
        let Figures { cold, warm, .. } = figures;
        println!("{:<29} one partition: cold {:.2} s, warm {:.2} s", peer.title(), cold.seconds, warm.seconds);
        self.row(peer).own_table.push(figures);
    }

    pub(crate) fn closing(&mut self, late: (f64, f64)) {
        println!("{:<29} reply to closed activity {:.2} / {:.2} ms", Peer::Handback.title(), late.0, late.1);
        self.closing.push(late);
    }

    fn row(&mut self, peer: Peer) -> &mut Row {
        self.rows.iter_mut().find(|row| row.peer == peer).expect("a row for each peer")
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{} records cold and as many warm, {ENVELOPE} bytes each, {} partitions, {} calls in flight, median of {} runs\n",
            self.load.records, self.load.partitions, self.load.window, self.runs
        );
        println!(
            "{:<29}  {:<5}  {:>15}  {:>17}  {:>8}  {:>13}  {:>19}",
            "", "keeps", "records/s", "CPU us/record", "peak", "first call", "low load p50 / p99"
        );
        println!(
            "{:<29}  {:<5}  {:>15}  {:>17}  {:>8}  {:>13}  {:>19}",
            "", "books", "cold / warm", "cold / warm", "MiB", "ms", "ms"
        );
        for row in &self.rows {
            let f = median(&row.load);
            println!(
                "{:<29}  {:<5}  {:>15}  {:>17}  {:>8.0}  {:>13.0}  {:>19}",
                row.peer.title(),
                if row.peer.keeps_books() { "yes" } else { "no" },
                format!("{:.0} / {:.0}", f.cold.per_second, f.warm.per_second),
                format!("{:.1} / {:.1}", f.cold.cpu_us, f.warm.cpu_us),
                f.peak_mib,
                f.first_call_ms,
                format!("{:.2} / {:.2}", f.low_p50_ms, f.low_p99_ms)
            );
        }
        println!(
            "\nparallel-consumer's own table: 10000 records, one partition, answered after 0 to 5 ms, 100 in flight\n"
        );
        println!("{:<29}  {:>12}  {:>12}", "", "cold, s", "warm, s");
        for row in &self.rows {
            let f = median(&row.own_table);
            println!("{:<29}  {:>12.2}  {:>12.2}", row.peer.title(), f.cold.seconds, f.warm.seconds);
        }
        if let Some((p50, p99)) = self.closed() {
            println!(
                "\nreply produced to activity closed, 100 a second, embedded engine: p50 {p50:.2} ms, p99 {p99:.2} ms"
            );
        }
    }

    /// Writes `peers.json` and `peers.svg`.
    pub(crate) fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let text = serde_json::to_string_pretty(&self.json()).unwrap();
        fs::write(folder.join("peers.json"), text + "\n").unwrap();
        let bars: Vec<_> = self.rows.iter().map(|row| (row.peer.title(), median(&row.load))).collect();
        fs::write(folder.join("peers.svg"), plot::draw(&bars)).unwrap();
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({
            "records_each_half": self.load.records,
            "record_bytes": ENVELOPE,
            "partitions": self.load.partitions,
            "calls_in_flight": self.load.window,
            "low_load_seconds": self.load.low_seconds,
            "runs": self.runs,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "peers": rows,
            "reply_to_closed_activity_ms": self.closed().map(|(p50, p99)| json!({"p50": p50, "p99": p99, "runs": self.closing})),
        })
    }

    fn closed(&self) -> Option<(f64, f64)> {
        let of = |figure: fn(&(f64, f64)) -> f64| middle(self.closing.iter().map(figure).collect());
        (!self.closing.is_empty()).then(|| (of(|late| late.0), of(|late| late.1)))
    }
}

impl Row {
    fn json(&self) -> Value {
        let own = |f: &Figures| json!({"cold_s": f.cold.seconds, "warm_s": f.warm.seconds});
        json!({
            "peer": self.peer.key(),
            "title": self.peer.title(),
            "keeps_books": self.peer.keeps_books(),
            "median": load_json(&median(&self.load)),
            "runs": self.load.iter().map(load_json).collect::<Vec<_>>(),
            "own_table_median": own(&median(&self.own_table)),
            "own_table_runs": self.own_table.iter().map(own).collect::<Vec<_>>(),
        })
    }
}

fn load_json(f: &Figures) -> Value {
    let half = |half: &Half| json!({"records_per_second": half.per_second, "cpu_us_per_record": half.cpu_us});
    json!({
        "cold": half(&f.cold),
        "warm": half(&f.warm),
        "peak_mib": f.peak_mib,
        "first_call_ms": f.first_call_ms,
        "low_load_p50_ms": f.low_p50_ms,
        "low_load_p99_ms": f.low_p99_ms,
    })
}

/// Each figure's own median.
fn median(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| middle(runs.iter().map(figure).collect());
    Figures {
        cold: Half {
            seconds: of(|f| f.cold.seconds),
            per_second: of(|f| f.cold.per_second),
            cpu_us: of(|f| f.cold.cpu_us),
        },
        warm: Half {
            seconds: of(|f| f.warm.seconds),
            per_second: of(|f| f.warm.per_second),
            cpu_us: of(|f| f.warm.cpu_us),
        },
        peak_mib: of(|f| f.peak_mib),
        first_call_ms: of(|f| f.first_call_ms),
        low_p50_ms: of(|f| f.low_p50_ms),
        low_p99_ms: of(|f| f.low_p99_ms),
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
