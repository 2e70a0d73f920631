//! What operators see: readiness with its reasons, metrics, and the small HTTP server that shows both.

mod dispatch_metrics;
mod health;
mod http;
mod labels;
mod metrics;

pub use dispatch_metrics::{DispatchMetrics, Dispatched};
pub use health::Health;
pub use http::serve;
pub use labels::{BreakerGauge, EngineMethod, FloodGauge};
pub use metrics::Metrics;
