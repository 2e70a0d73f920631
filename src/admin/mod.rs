//! What operators see: readiness with its reasons, metrics, the small HTTP server that shows both, and the log.

mod connections;
mod dispatch_metrics;
mod health;
mod held_metrics;
mod http;
mod labels;
mod logging;
mod metrics;
mod printable;
mod waits;

pub use dispatch_metrics::{DispatchMetrics, Dispatched};
pub use health::Health;
pub use http::serve;
pub use labels::{BreakerGauge, EngineMethod, FloodGauge};
pub use logging::log_to;
pub use metrics::Metrics;
pub use printable::Printable;
pub(crate) use printable::in_json;
