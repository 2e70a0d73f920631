//! `[admin]`: health and metrics over HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use super::listen;
use super::section::section;

section! {
    /// Health and metrics over HTTP.
    pub struct Admin {
        // Loopback: topic names and lag are nobody's business until somebody decides that they are.
        /// Address of `/livez`, `/readyz` and `/metrics`, or `off`. In a container `0.0.0.0:9464`.
        #[serde(with = "listen")]
        pub listen: Option<SocketAddr> = Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9464)),
    }
}
