//! Compiles the vendored Cadence protos with protox: no protoc binary is needed.

use std::error::Error;
use std::path::Path;

/// The services that handback calls or imitates; their imports come along.
const SERVICES: [&str; 5] = ["service_worker", "service_workflow", "service_domain", "service_meta", "error"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = SERVICES.map(|name| format!("uber/cadence/api/v1/{name}.proto"));
    let descriptors = protox::compile(files.iter().map(Path::new), [Path::new("proto")])?;
    tonic_prost_build::configure()
        .codec_path("crate::cadence::codec::Small")
        // Tokens and payloads stay slices of what Kafka delivered.
        .bytes(".uber.cadence.api.v1.Payload")
        .bytes(".uber.cadence.api.v1.Failure")
        .bytes("task_token")
        .compile_fds(descriptors)?;
    Ok(())
}
