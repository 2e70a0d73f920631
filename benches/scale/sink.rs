//! The engine: says OK to every answer after a while, and notes when each came.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use handback::dev::engine::Engine;
use tokio::net::TcpListener;

/// Workflow ids begin with this, and go on with the microsecond in which the reply was written.
const MARK: &[u8] = b"order-";

/// One answer: when its reply was written, and when it came; microseconds since the epoch.
pub(crate) type Arrival = (u64, u64);

#[derive(Default)]
struct Seen {
    count: AtomicUsize,
    arrivals: Mutex<Vec<Arrival>>,
}

/// An engine on a thread of its own.
pub(crate) struct Sink {
    seen: Arc<Seen>,
    pub(crate) endpoint: String,
    engine: Engine,
    runtime: tokio::runtime::Runtime,
}

impl Sink {
    pub(crate) fn start(latency: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Seen::default());
        let watch = {
            let seen = Arc::clone(&seen);
            move |body: &[u8]| {
                // A probe bears no mark, and wants an engine's answer.
                let written = written_at(body)?;
                seen.arrivals.lock().unwrap().push((written, now()));
                seen.count.fetch_add(1, Ordering::Relaxed);
                Some(latency)
            }
        };
        let engine = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            Engine::watched_sink(listener, watch).unwrap()
        });
        Self { seen, endpoint: engine.endpoint(), engine, runtime }
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// What came since this was last asked.
    pub(crate) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.seen.arrivals.lock().unwrap())
    }

    pub(crate) fn wait_for(&self, count: usize, within: Duration) {
        let give_up = Instant::now() + within;
        while self.count() < count {
            assert!(Instant::now() < give_up, "{} of {count} answers came within {within:?}", self.count());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.engine.shutdown());
    }
}

/// Microseconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

fn written_at(body: &[u8]) -> Option<u64> {
    let from = body.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = body[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&body[from..from + digits]).ok()?.parse().ok()
}
