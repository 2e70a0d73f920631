//! `[cadence]`: the engine's frontend and how it is called.

use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::{Secret, human, optional};

section! {
    /// The Cadence frontend and how it is called.
    pub struct Cadence {
        /// The frontend's gRPC address. `https://` turns TLS on.
        pub endpoint: String = "http://127.0.0.1:7833".into(),

        /// Name of the frontend service (`rpc-service`).
        pub service: String = "cadence-frontend".into(),

        /// Name of this caller (`rpc-caller`).
        pub caller: String = "handback".into(),

        /// Domains that replies may answer, by name. Empty means every domain.
        pub domains: Vec<String> = Vec::new(),

        // Two carried a third more calls than one at the same concurrency; four brought nothing more.
        /// Connections per worker, used in turn. Each looks its host up anew; one is followed by another after five to ten
        /// minutes, and when nothing was heard on it while a call waited for its deadline.
        pub connections: usize = 2,

        // A well-formed token of an activity that does not exist holds the server for 30 s: do not wait that long.
        /// Deadline of one call, sent to the server as `grpc-timeout`.
        #[serde(with = "human")]
        pub call_timeout: Duration = Duration::from_secs(10),

        /// Upper limit of calls a second over all workers of this process (`dispatch.max_tasks_per_second` limits
        /// dispatching). 0 means no limit.
        pub max_calls_per_second: u32 = 0,

        // A repeated fail by id hits whichever attempt is current, and so burns one that nobody has answered.
        /// Allow `fail` by activity id without an attempt.
        pub allow_fail_by_id_without_attempt: bool = false,

        /// PEM file with the authorities to trust. Empty means those of the system.
        #[serde(with = "optional")]
        pub ca_file: Option<PathBuf> = None,

        /// PEM file with the client certificate, together with `key_file`.
        #[serde(with = "optional")]
        pub cert_file: Option<PathBuf> = None,

        /// PEM file with the client's private key, together with `cert_file`.
        #[serde(with = "optional")]
        pub key_file: Option<PathBuf> = None,

        /// Name that the server's certificate must carry, when it is not the endpoint's host.
        #[serde(with = "optional")]
        pub tls_domain: Option<String> = None,

        /// JWT sent as `cadence-authorization`. A secret: better given by environment.
        #[serde(with = "optional")]
        pub authorization: Option<Secret> = None,

        /// File with that JWT instead, read again every second: for tokens that are renewed while handback runs.
        #[serde(with = "optional")]
        pub authorization_file: Option<PathBuf> = None,
    }
}
