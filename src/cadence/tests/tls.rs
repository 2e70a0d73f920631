//! TLS: whom the client trusts, what it shows of itself, and that it speaks HTTP/2 only.

use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::peer::*;
use super::*;
use crate::bridge::seams::Verdict;

/// An authority, and a frontend named `frontend.test` that it vouches for.
struct Frontend {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    peer: Peer,
    /// Protocols agreed on.
    agreed: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Frontend {
    /// Speaks this protocol; `asks` wants a certificate of the authority from its clients.
    async fn start(protocol: &[u8], asks: bool) -> Self {
        let authority = authority();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["frontend.test".into()]).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let (acceptor, agreed) = (TlsAcceptor::from(Arc::new(config)), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&agreed);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::on(listener, vec![], async move |socket| {
            let socket = acceptor.accept(socket).await.ok()?;
            seen.lock().unwrap().push(socket.get_ref().1.alpn_protocol().map(<[u8]>::to_vec));
            Some(socket)
        });
        Self { folder: TempDir::new().unwrap(), authority, peer, agreed }
    }

    /// Settings that trust the authority.
    fn settings(&self) -> Cadence {
        Cadence {
            endpoint: format!("https://127.0.0.1:{}", self.peer.port()),
            ca_file: Some(self.file("ca.pem", &self.authority.pem())),
            tls_domain: Some("frontend.test".into()),
            ..self.peer.settings()
        }
    }

    /// The same with a certificate of the client's own from this authority.
    fn settings_of(&self, authority: &CertifiedIssuer<'static, KeyPair>) -> Cadence {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["handback".into()]).unwrap().signed_by(&key, authority).unwrap();
        Cadence {
            cert_file: Some(self.file("cert.pem", &certificate.pem())),
            key_file: Some(self.file("key.pem", &key.serialize_pem())),
            ..self.settings()
        }
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn answers(settings: &Cadence) -> Result<Accepted, CallError> {
    complete(&client(settings)).await
}

fn is_unreachable(answer: &Result<Accepted, CallError>) -> bool {
    matches!(answer, Err(CallError { verdict: Verdict::Transient { busy: false }, .. }))
}

#[tokio::test]
async fn a_frontend_of_the_trusted_authority_is_spoken_to_over_http_2() {
    play(async {
        let frontend = Frontend::start(b"h2", false).await;
        answers(&frontend.settings()).await.unwrap();
        assert_eq!(*frontend.agreed.lock().unwrap(), [Some(b"h2".to_vec())]);
    })
    .await;
}

#[tokio::test]
async fn a_frontend_of_another_authority_or_name_or_protocol_is_not_spoken_to() {
    play(async {
        let frontend = Frontend::start(b"h2", false).await;
        let stranger = frontend.file("stranger.pem", &authority().pem());
        let old = Frontend::start(b"http/1.1", false).await;
        let wrong = [
            Cadence { ca_file: Some(stranger), ..frontend.settings() },
            Cadence { tls_domain: Some("other.test".into()), ..frontend.settings() },
            old.settings(),
        ];
        for settings in wrong {
            let answer = answers(&settings).await;
            assert!(is_unreachable(&answer), "{answer:?}");
        }
        for frontend in [frontend, old] {
            assert_eq!(*frontend.agreed.lock().unwrap(), [], "no handshake was completed");
        }
    })
    .await;
}

#[tokio::test]
async fn a_frontend_that_asks_for_a_certificate_is_shown_ours() {
    play(async {
        let frontend = Frontend::start(b"h2", true).await;
        answers(&frontend.settings_of(&frontend.authority)).await.unwrap();
        for settings in [frontend.settings(), frontend.settings_of(&authority())] {
            let answer = answers(&settings).await;
            assert!(is_unreachable(&answer), "{answer:?}");
        }
    })
    .await;
}
