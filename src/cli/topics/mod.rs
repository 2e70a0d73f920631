//! `handback topics create`

pub(super) mod plan;
mod yaml;

use super::args::CreateTopics;
use super::paint::{self, Level, plural};
use super::{Failed, blocking};
use crate::cli::paint::say;
use crate::config::Settings;
use crate::exit::Exit;
use crate::kafka::cluster::Cluster;
use crate::kafka::topics::{Admin, Creation, TopicSpec};

/// Creates what is missing, or prints it.
pub(super) async fn create(settings: &Settings, args: &CreateTopics) -> Result<Exit, Failed> {
    if args.yaml {
        let specs = plan::specs(settings, args.partitions, args.replication_factor, None);
        say!("{}", yaml::strimzi(&specs, &args.strimzi_cluster).trim_end());
        return Ok(Exit::Ok);
    }
    let kafka = settings.kafka.clone();
    let overview = blocking(move || Cluster::new(&kafka)?.overview(kafka.metadata_timeout)).await??;
    let (existing, missing): (Vec<_>, Vec<_>) =
        plan::roles(settings).into_iter().map(|(_, name)| name).partition(|name| overview.topics.contains_key(*name));
    for name in existing {
        paint::line(Level::Ok, name, "exists, left as it is");
    }
    if missing.is_empty() {
        say!("nothing to create; `handback check` tells whether the topics are as they should be");
        return Ok(Exit::Ok);
    }
    enough_brokers(args.replication_factor, overview.brokers.len())?;
    let admin = Admin::new(&settings.kafka, overview.brokers.first().copied())?;
    // Asked of topics that do not exist too: the answer tells whether the brokers know admin requests at all.
    let names: Vec<&str> = settings.topics.replies.iter().map(String::as_str).collect();
    let replies = plan::replies(settings, &overview.topics, &admin.settings(&names).await?);
    let mut specs = plan::specs(settings, args.partitions, args.replication_factor, replies);
    specs.retain(|spec| missing.contains(&spec.name.as_str()));
    let told = admin.create(&specs, args.dry_run).await?;
    Ok(report(&specs, told, args.dry_run))
}

/// The brokers would refuse each topic without saying why.
fn enough_brokers(replicas: i32, brokers: usize) -> Result<(), Failed> {
    if usize::try_from(replicas).unwrap_or_default() <= brokers {
        return Ok(());
    }
    let there = plural(brokers, "broker");
    Err(Failed::Usage(format!(
        "{replicas} replicas need as many brokers, and there is only {there}; for development add \
         --replication-factor {brokers}"
    )))
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
