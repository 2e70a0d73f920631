//! Connections to the frontend, and what every request carries: YARPC's metadata and a deadline.

use std::time::Duration;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::authorization::Authorization;
use super::line::{LIFE, Lines};
use crate::config::Cadence;

/// Why no client could be made. Nothing was connected yet: this is about the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `cadence.endpoint` is no address.
    #[error("cadence.endpoint {endpoint:?} cannot be used: {source}")]
    Endpoint {
        /// The setting.
        endpoint: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting cannot be sent as a header.
    #[error("cadence.{0} cannot be sent as a gRPC header: it must be visible ASCII")]
    Header(&'static str),
}

/// The connections that the settings ask for; none is made yet.
pub(super) fn lines(settings: &Cadence) -> Result<Lines, ConnectError> {
    let refused = |source| ConnectError::Endpoint { endpoint: settings.endpoint.clone(), source };
    let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())
        .map_err(refused)?
        // 1 MiB a stream, 16 MiB a connection: a payload never waits for a window update at loopback latencies.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(16 << 20);
    if settings.endpoint.starts_with("https://") {
        endpoint = endpoint.tls_config(tls(settings)?).map_err(refused)?;
    }
    // No HTTP/2 keepalive pings: the frontend answers pings closer than five minutes with GOAWAY.
    Ok(Lines::new(endpoint, settings.call_timeout, LIFE, settings.connections))
}

fn tls(settings: &Cadence) -> Result<ClientTlsConfig, ConnectError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|source| ConnectError::File { path: path.display().to_string(), source })
    };
    let mut tls = match &settings.ca_file {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    tls = tls.timeout(settings.call_timeout);
    if let Some(name) = &settings.tls_domain {
        tls = tls.domain_name(name.clone());
    }
    Ok(tls)
}

/// The metadata of every call. YARPC refuses a call without the three `rpc-` headers and a deadline, and one that has
/// any of them twice: they are inserted here and nowhere else.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    fixed: MetadataMap,
    authorization: Authorization,
    timeout: Duration,
}

impl Metadata {
    pub(crate) fn new(settings: &Cadence) -> Result<Self, ConnectError> {
        let mut fixed = MetadataMap::new();
        fixed.insert("rpc-caller", ascii("caller", &settings.caller)?);
        fixed.insert("rpc-service", ascii("service", &settings.service)?);
        fixed.insert("rpc-encoding", MetadataValue::from_static("proto"));
        // A name of our own: the names of Cadence's clients switch server features on.
        fixed.insert("cadence-client-name", MetadataValue::from_static("handback"));
        fixed.insert("cadence-client-library-version", MetadataValue::from_static(env!("CARGO_PKG_VERSION")));
        Ok(Self { fixed, authorization: Authorization::new(settings)?, timeout: settings.call_timeout })
    }

    /// A request with the usual deadline.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        self.request_within(message, self.timeout)
    }

    /// A request with a deadline of its own.
    pub(crate) fn request_within<T>(&self, message: T, timeout: Duration) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.fixed.clone();
        if let Some(token) = self.authorization.now() {
            request.metadata_mut().insert("cadence-authorization", token);
        }
        // Sent as grpc-timeout and kept locally too; Endpoint::timeout would not be sent.
        request.set_timeout(timeout);
        request
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }
}

fn ascii(setting: &'static str, value: &str) -> Result<MetadataValue<Ascii>, ConnectError> {
    value.parse().map_err(|_| ConnectError::Header(setting))
}
