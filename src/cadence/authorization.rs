//! The JWT that calls carry: fixed, or from a file that somebody else renews.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use super::transport::ConnectError;
use crate::config::{Cadence, Secret};

/// How long a token that was read is used before its file is looked at again. A renewed token is there in time, and a
/// refusal that comes from an old one is gone before it is confirmed as a wiring fault.
const REREAD: Duration = Duration::from_secs(1);

/// Where the JWT comes from.
#[derive(Clone, Debug)]
pub(super) enum Authorization {
    /// Calls carry none.
    None,
    /// From the settings.
    Fixed(MetadataValue<Ascii>),
    /// From `cadence.authorization_file`, as it is at the time of a call.
    File(RefCell<TokenFile>),
}

impl Authorization {
    pub(super) fn new(settings: &Cadence) -> Result<Self, ConnectError> {
        if let Some(path) = &settings.authorization_file {
            return Ok(Self::File(RefCell::new(TokenFile::open(path)?)));
        }
        match &settings.authorization {
            Some(token) => value("authorization", token).map(Self::Fixed),
            None => Ok(Self::None),
        }
    }

    /// What a call carries that begins now.
    pub(super) fn now(&self) -> Option<MetadataValue<Ascii>> {
        match self {
            Self::None => None,
            Self::Fixed(token) => Some(token.clone()),
            Self::File(file) => Some(file.borrow_mut().now()),
        }
    }
}

/// A file with a token, and the last good one.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    token: MetadataValue<Ascii>,
    read: Instant,
    /// What was wrong the last time, so that it is said once.
    trouble: Option<String>,
}

impl TokenFile {
    fn open(path: &Path) -> Result<Self, ConnectError> {
        Ok(Self { path: path.to_owned(), token: read(path)?, read: Instant::now(), trouble: None })
    }

    /// The token of the file. One that cannot be read leaves the last good one: whoever renews it may be between two steps.
    fn now(&mut self) -> MetadataValue<Ascii> {
        if self.read.elapsed() >= REREAD {
            self.read = Instant::now();
            let trouble = read(&self.path).map(|token| self.token = token).err().map(|error| error.to_string());
            match &trouble {
                Some(trouble) if self.trouble.as_ref() != Some(trouble) => {
                    tracing::warn!(trouble, "cadence.authorization_file: the token that was read before is used on");
                }
                None if self.trouble.is_some() => tracing::info!("cadence.authorization_file can be read again"),
                _ => {}
            }
            self.trouble = trouble;
        }
        self.token.clone()
    }
}

fn read(path: &Path) -> Result<MetadataValue<Ascii>, ConnectError> {
    let refused = |source| ConnectError::File { path: path.display().to_string(), source };
    let text = std::fs::read_to_string(path).map_err(refused)?;
    value("authorization_file", &Secret::from(text.trim().to_owned()))
}

/// A token as the header's value; never shown.
fn value(setting: &'static str, token: &Secret) -> Result<MetadataValue<Ascii>, ConnectError> {
    let text = Some(token.expose()).filter(|text| !text.is_empty());
    let mut value: MetadataValue<Ascii> =
        text.and_then(|text| text.parse().ok()).ok_or(ConnectError::Header(setting))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Request;

    use super::REREAD;
    use crate::cadence::transport::Metadata;
    use crate::config::Cadence;

    /// What a call that begins now carries.
    fn sent(metadata: &Metadata) -> Option<String> {
        let request: Request<()> = metadata.request(());
        Some(request.metadata().get("cadence-authorization")?.to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_jwt_that_is_renewed_in_its_file_is_sent_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut settings = Cadence { authorization_file: Some(path.clone()), ..Cadence::default() };
        assert!(
            Metadata::new(&settings).unwrap_err().to_string().contains("token"),
            "a file that is not there is a fault"
        );
        std::fs::write(&path, "first.jwt.s\n").unwrap();
        let metadata = Metadata::new(&settings).unwrap();
        assert_eq!(sent(&metadata).as_deref(), Some("first.jwt.s"));

        std::fs::write(&path, "second.jwt.s").unwrap();
        tokio::time::advance(REREAD).await;
        assert_eq!(sent(&metadata).as_deref(), Some("second.jwt.s"));
        // Between two steps of whoever renews it.
        for broken in [None, Some(""), Some("no\nheader")] {
            match broken {
                None => std::fs::remove_file(&path).unwrap(),
                Some(text) => std::fs::write(&path, text).unwrap(),
            }
            tokio::time::advance(REREAD + Duration::from_millis(1)).await;
            assert_eq!(sent(&metadata).as_deref(), Some("second.jwt.s"), "{broken:?}");
        }
        std::fs::write(&path, "third.jwt.s").unwrap();
        tokio::time::advance(REREAD).await;
        assert_eq!(sent(&metadata).as_deref(), Some("third.jwt.s"));
        assert!(!format!("{metadata:?}").contains("third"), "a token is a secret");

        settings = Cadence { authorization: Some("fixed".to_owned().into()), ..Cadence::default() };
        assert_eq!(sent(&Metadata::new(&settings).unwrap()).as_deref(), Some("fixed"));
        assert_eq!(sent(&Metadata::new(&Cadence::default()).unwrap()), None);
    }
}
