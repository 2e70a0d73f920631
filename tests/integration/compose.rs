//! `docker-compose.yml` and the Dockerfile, held against what they start. No Docker engine is needed for that.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use handback::config::Settings;
use serde::Deserialize;

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    image: Option<String>,
    build: Option<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    stop_grace_period: Option<String>,
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn compose() -> Compose {
    serde_saphyr::from_str(&file("docker-compose.yml")).unwrap()
}

fn settings(service: &Service) -> Settings {
    Settings::load(None, service.environment.clone().into_iter()).unwrap()
}

#[test]
fn every_image_is_pinned() {
    let dockerfile = file("Dockerfile");
    let from = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    let bases = from.map(|line| line.split_whitespace().next().unwrap().to_owned());
    let images = compose().services.into_values().filter_map(|service| service.image);
    for image in images.chain(bases) {
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(tag.contains('.') && tag.contains(|c: char| c.is_ascii_digit()), "{image} is not pinned to a version");
    }
}

#[test]
fn handback_in_compose_has_valid_settings_that_reach_the_other_services() {
    let compose = compose();
    let kafka = &compose.services["kafka"].environment;
    for name in ["handback", "topics"] {
        let service = &compose.services[name];
        assert!(service.build.is_some(), "{name} is built from this tree");
        let settings = settings(service);
        let advertised = &kafka["KAFKA_ADVERTISED_LISTENERS"];
        let inside = format!("INSIDE://{}", settings.kafka.brokers);
        assert!(advertised.contains(&inside), "{} is not advertised: {advertised}", settings.kafka.brokers);
        assert_eq!(settings.cadence.endpoint, "http://cadence:7833", "Cadence's gRPC port");
        assert!(settings.topics == Settings::default().topics, "topics keep their default names");
    }
    let admin = settings(&compose.services["handback"]).admin.listen.unwrap();
    assert!(compose.services["handback"].ports.iter().any(|port| port.ends_with(&format!(":{}", admin.port()))));
    assert_eq!(compose.services["handback"].command, ["run"]);
}

#[test]
fn compose_waits_longer_for_a_stop_than_the_drain_may_take() {
    let compose = compose();
    let handback = &compose.services["handback"];
    let grace = handback.stop_grace_period.as_deref().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
    let bridge = settings(handback).bridge;
    assert!(grace > (bridge.drain_timeout + bridge.revoke_timeout).as_secs());
}

#[test]
fn the_container_runs_as_a_user_that_is_known_by_number_not_to_be_root() {
    let dockerfile = file("Dockerfile");
    let user =
        dockerfile.lines().filter_map(|line| line.strip_prefix("USER ")).next_back().expect("the image runs as root");
    let (user, group) = user.split_once(':').expect("user and group");
    let number =
        |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{text} is a name; runAsNonRoot cannot judge it"));
    assert!(number(user) > 0 && number(group) > 0);
    assert!(dockerfile.contains(&format!("--uid {user} ")), "the user exists");
}

#[test]
fn the_licenses_of_dependencies_are_held_against_the_list_in_every_run() {
    let (ci, deny) = (file(".ci/run"), file("tests/deny/run"));
    assert!(ci.lines().any(|line| line == "tests/deny/run"));
    assert!(deny.contains("bans licenses sources") && !deny.contains("|| true"));
}

#[test]
fn the_dockerfile_builds_with_the_pinned_toolchain() {
    let toolchain = file("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(file("Dockerfile").contains(&format!("FROM rust:{channel}-")));
}
