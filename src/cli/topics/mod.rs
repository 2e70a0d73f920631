//! `handback topics create`

pub(super) mod plan;
mod yaml;

use std::collections::BTreeMap;

use super::args::CreateTopics;
use super::paint::{self, Level, plural};
use super::{Failed, blocking};
use crate::config::Settings;
use crate::exit::Exit;
use crate::kafka::cluster::{Cluster, Overview};
use crate::kafka::topics::{Admin, AdminError, Creation, TopicSettings, TopicSpec};

/// Creates what is missing, or prints it.
pub(super) async fn create(settings: &Settings, args: &CreateTopics) -> Result<Exit, Failed> {
    if args.yaml {
        let specs = plan::specs(settings, args.partitions, args.replication_factor, None);
        anstream::print!("{}", yaml::strimzi(&specs, &args.strimzi_cluster));
        return Ok(Exit::Ok);
    }
    let kafka = settings.kafka.clone();
    let overview = blocking(move || Cluster::new(&kafka)?.overview(kafka.metadata_timeout)).await??;
    let replicas = usize::try_from(args.replication_factor).unwrap_or_default();
    if replicas > overview.brokers {
        let brokers = plural(overview.brokers, "broker");
        return Err(Failed::Usage(format!(
            "{replicas} replicas need as many brokers, and there is only {brokers}; for development add \
             --replication-factor {}",
            overview.brokers
        )));
    }
    let admin = Admin::new(&settings.kafka)?;
    let replies = plan::replies(settings, &overview.topics, &reply_settings(settings, &admin, &overview).await?);
    let specs = plan::specs(settings, args.partitions, args.replication_factor, replies);
    let (existing, missing): (Vec<_>, Vec<_>) =
        specs.into_iter().partition(|spec| overview.topics.contains_key(&spec.name));
    for spec in &existing {
        paint::line(Level::Ok, &spec.name, "exists, left as it is");
    }
    if missing.is_empty() {
        anstream::println!("nothing to create; `handback check` tells whether the topics are as they should be");
        return Ok(Exit::Ok);
    }
    let told = admin.create(&missing, args.dry_run).await?;
    Ok(report(&missing, told, args.dry_run))
}

/// The settings of the reply topics that exist. Empty when the brokers do not tell: then Kafka's defaults are assumed.
async fn reply_settings(
    settings: &Settings,
    admin: &Admin,
    overview: &Overview,
) -> Result<BTreeMap<String, TopicSettings>, Failed> {
    let existing: Vec<&str> =
        settings.topics.replies.iter().map(String::as_str).filter(|name| overview.topics.contains_key(*name)).collect();
    if existing.is_empty() {
        return Ok(BTreeMap::new());
    }
    match admin.settings(&existing).await {
        Ok(told) => Ok(told),
        Err(AdminError::Unsupported) => Ok(BTreeMap::new()),
        Err(AdminError::Failed(error)) => Err(error.into()),
    }
}

fn report(missing: &[TopicSpec], told: Vec<(String, Creation)>, dry_run: bool) -> Exit {
    let mut exit = Exit::Ok;
    for (name, creation) in told {
        let like = missing.iter().find(|spec| spec.name == name).map(described).unwrap_or_default();
        match creation {
            Creation::Created if dry_run => paint::line(Level::Ok, &name, &format!("would be created: {like}")),
            Creation::Created => paint::line(Level::Ok, &name, &format!("created: {like}")),
            Creation::Existed => paint::line(Level::Ok, &name, "exists, left as it is"),
            Creation::Refused(error) => {
                exit = Exit::Failed;
                paint::line(Level::Fault, &name, &error.what);
                paint::fix(error.advice);
            }
        }
    }
    exit
}

fn described(spec: &TopicSpec) -> String {
    let settings: Vec<_> = spec.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let partitions = plural(spec.partitions.unsigned_abs() as usize, "partition");
    let replicas = plural(spec.replication_factor.unsigned_abs() as usize, "replica");
    format!("{partitions}, {replicas}, {}", settings.join(", "))
}
