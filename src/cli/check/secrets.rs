//! Whether secrets lie or travel where others can read them.

use std::net::IpAddr;
use std::path::Path;

use super::finding::{Area, Finding};
use crate::config::{Cadence, Settings, secrets_in};

/// What is found without asking anybody. `file` is the settings file, if there is one.
pub(super) fn look(settings: &Settings, file: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(path) = file {
        let names = secrets_in(path);
        if !names.is_empty() && others_may_read(path) {
            let what =
                format!("{} may be read by everybody on this machine, and holds {}", path.display(), names.join(", "));
            let fix = format!("chmod o-rwx {}, or give secrets by environment", path.display());
            findings.push(Finding::warn(Area::Secrets, "settings file", what, fix));
        }
    }
    for (setting, path) in settings.key_files() {
        if others_may_read(path) {
            let what = format!("{} may be read by everybody on this machine", path.display());
            findings.push(Finding::warn(Area::Secrets, setting, what, format!("chmod o-rwx {}", path.display())));
        }
    }
    findings.extend(jwt_in_the_clear(&settings.cadence));
    findings
}

/// Whoever sees the network between here and the frontend has the token, and with it our rights.
fn jwt_in_the_clear(cadence: &Cadence) -> Option<Finding> {
    let setting = match (&cadence.authorization_file, &cadence.authorization) {
        (Some(_), _) => "cadence.authorization_file",
        (None, Some(_)) => "cadence.authorization",
        (None, None) => return None,
    };
    let authority = cadence.endpoint.strip_prefix("http://")?;
    let host = authority.trim_end_matches('/').rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let what = || format!("a JWT goes to {} unencrypted", cadence.endpoint);
    let fix = "use https:// for cadence.endpoint; plain text is for an encrypting sidecar on 127.0.0.1";
    (!loopback).then(|| Finding::warn(Area::Secrets, setting, what(), fix))
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // The group may: that is how a container's user is given its files.
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_path: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::look;
    use crate::config::{Cadence, Settings};

    #[test]
    fn a_settings_file_with_a_secret_that_others_may_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handback.toml");
        let warned = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            look(&Settings::default(), Some(&path)).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        for secret in [
            "[cadence]\nauthorization = \"hush\"",
            "[kafka.properties]\nsasl.password = \"hush\"",
            "[kafka.properties]\n\"ssl.key.pem\" = \"hush\"",
            "kafka.properties.\"sasl.oauthbearer.client.secret\" = \"hush\"",
        ] {
            for mode in [0o644, 0o604] {
                let found = warned(secret, mode);
                assert!(
                    found.len() == 1 && found[0].contains("may be read by everybody"),
                    "{secret} {mode:o}: {found:?}"
                );
                assert!(!found[0].contains("hush"), "{found:?}");
            }
            for mode in [0o600, 0o640, 0o400] {
                assert_eq!(warned(secret, mode), [""; 0], "{secret} {mode:o}");
            }
        }
        for open in ["[kafka]\nbrokers = \"b:1\"", "[kafka.properties]\nsasl.username = \"u\"", ""] {
            assert_eq!(warned(open, 0o644), [""; 0], "{open}");
        }
        let mut settings = Settings::default();
        warned("", 0o644);
        settings.cadence.key_file = Some(path.clone());
        settings.kafka.properties.set("ssl.key.location", path.to_str().unwrap());
        assert_eq!(look(&settings, None).len(), 2, "private keys as well");
    }

    #[test]
    fn a_jwt_that_leaves_the_machine_unencrypted_is_warned_of() {
        let found = |endpoint: &str| {
            let by = |cadence| look(&Settings { cadence, ..Settings::default() }, None).len();
            let endpoint = endpoint.to_owned();
            let fixed = Some("jwt".to_owned().into());
            let in_file = Some("/run/token".into());
            [
                by(Cadence { endpoint: endpoint.clone(), authorization: fixed, ..Cadence::default() }),
                by(Cadence { endpoint: endpoint.clone(), authorization_file: in_file, ..Cadence::default() }),
                by(Cadence { endpoint, ..Cadence::default() }),
            ]
        };
        for far in [
            "http://cadence:7833",
            "http://10.0.0.7:7833",
            "http://[2001:db8::1]:7833/",
            "http://localhost.example:7833",
        ] {
            assert_eq!(found(far), [1, 1, 0], "{far}");
        }
        for near in ["https://cadence:7833", "http://127.0.0.1:7833", "http://localhost:7833", "http://[::1]:7833"] {
            assert_eq!(found(near), [0, 0, 0], "{near}");
        }
    }
}
