//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::wire::{FailureStyle, Mode};

const REPLY_EXAMPLES: &str = "\
Examples:
  handback reply complete --token - --result '{\"charge_id\": \"ch_1\"}' < token.txt
  handback reply fail --token - --reason CardDeclined --details '{\"code\": 51}' < token.txt
  handback reply cancel --domain orders --workflow-id order-17 --run-id b5c5... --activity-id 3";

const EXIT_CODES: &str = "\
Exit codes:
   0  done, or drained after a signal
   1  failed; `check` found a fault
  64  bad settings or usage, nothing was started
  69  what answers is no Cadence frontend of ours: restarting will not help
  70  work in hand did not finish before the drain deadline or a second signal; it comes again
  75  the Kafka client is dead: restarting helps";

/// Finishes Cadence activities from Kafka: every reply ends in a recorded outcome.
///
/// Settings come from one TOML file; HANDBACK__SECTION__FIELD in the environment overrides a field of it.
/// `handback settings` shows them all.
#[derive(Debug, Parser)]
#[command(name = "handback", version, after_help = EXIT_CODES, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Settings file (TOML).
    #[arg(long, short, value_name = "FILE", env = "HANDBACK_CONFIG", global = true)]
    pub config: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order of the help text.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the bridge: consume replies, finish activities, record outcomes.
    ///
    /// Runs until SIGTERM or SIGINT, then lets work in hand finish for up to bridge.drain_timeout. A second signal ends
    /// at once; what was in hand comes again.
    Run,

    /// Dispatch only: poll Cadence task lists and publish each activity as a request.
    ///
    /// `run` does it too, in the same process, when dispatch.enabled is set. Runs until SIGTERM or SIGINT, then publishes what
    /// was polled for up to bridge.drain_timeout.
    Dispatch,

    /// Try it: broker, engine, bridge and a demo in one process, nothing to install.
    ///
    /// Stays up after the demo and shows how to answer an activity yourself. Of the settings only `[log]` matters.
    #[cfg(feature = "dev")]
    Dev(Dev),

    /// Show the settings in effect and probe Kafka, the topics, Cadence and the domains.
    ///
    /// Every finding says how to fix it. Exits with 1 when there is a fault, with 0 when there are only warnings.
    Check(Check),

    /// Create the topics that are missing, or print them.
    #[command(subcommand)]
    Topics(Topics),

    /// Write a reply: complete, fail, cancel or heartbeat an activity.
    ///
    /// The reply is checked as handback itself would check it, written, and told with its partition and offset.
    #[command(subcommand, after_help = REPLY_EXAMPLES)]
    Reply(Box<Reply>),

    /// List every setting with its default and meaning, as a file to start from.
    Settings(SettingsArgs),
}

/// What a command needs of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// None: it works without any.
    Nothing,
    /// All but the consumer group, which it does not join.
    AllButGroup,
    /// The same, and where activities go.
    Routes,
    /// The consumer group or where activities go: one of both at least.
    GroupOrRoutes,
    /// All.
    Everything,
}

impl Command {
    /// What the command needs of the settings.
    #[must_use]
    pub fn need(&self) -> Need {
        match self {
            Self::Run => Need::Everything,
            Self::Check(_) => Need::GroupOrRoutes,
            Self::Dispatch => Need::Routes,
            Self::Settings(SettingsArgs { effective: false, .. }) => Need::Nothing,
            #[cfg(feature = "dev")]
            Self::Dev(_) => Need::AllButGroup,
            Self::Topics(_) | Self::Reply(_) | Self::Settings(_) => Need::AllButGroup,
        }
    }

    /// What is logged as long as the settings do not say otherwise; `None` leaves it to them. A command that answers
    /// says all there is to say in its answer.
    #[must_use]
    pub fn usual_log_filter(&self) -> Option<&'static str> {
        match self {
            Self::Run | Self::Dispatch => None,
            #[cfg(feature = "dev")]
            Self::Dev(_) => Some("error"),
            Self::Check(_) | Self::Topics(_) | Self::Reply(_) | Self::Settings(_) => Some("off"),
        }
    }
}

/// `handback dev`
#[cfg(feature = "dev")]
#[derive(Debug, Args)]
pub struct Dev {
    /// Run the demo once, check its books and exit: 0 when every reply has its outcome.
    #[arg(long)]
    pub once: bool,
}

/// `handback check`
#[derive(Debug, Args)]
pub struct Check {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `handback topics`
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Create the topics that are missing. What exists is never touched.
    Create(CreateTopics),
}

/// `handback topics create`
#[derive(Debug, Args)]
pub struct CreateTopics {
    /// Ask the brokers whether they would, and create nothing.
    #[arg(long, conflicts_with = "yaml")]
    pub dry_run: bool,

    /// Print all topics as Strimzi KafkaTopic resources instead; asks no broker.
    #[arg(long)]
    pub yaml: bool,

    /// The Kafka resource that Strimzi's topics belong to.
    #[arg(long, value_name = "NAME", default_value = "my-cluster", requires = "yaml")]
    pub strimzi_cluster: String,

    // Divisible by 2, 3, 4, 6 and 12 processes.
    /// Partitions of each topic; outcome, retry and dead-letter topics get as many as the largest reply topic.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,

    /// Replicas of each partition; min.insync.replicas is one less, and at least 1.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..))]
    pub replication_factor: i32,
}

/// `handback settings`
#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// Print a Markdown table.
    #[arg(long, conflicts_with = "effective")]
    pub markdown: bool,

    /// Print the settings in effect, secrets redacted, instead of the defaults.
    #[arg(long)]
    pub effective: bool,
}

/// `handback reply`
#[derive(Debug, Subcommand)]
pub enum Reply {
    /// The activity succeeded.
    #[command(override_usage = usage("complete"))]
    Complete(Complete),
    /// The activity failed; the workflow decides what that means.
    #[command(override_usage = usage("fail"))]
    Fail(Fail),
    /// The activity stopped because the workflow asked it to. Without such a request the engine refuses it.
    #[command(override_usage = usage("cancel"))]
    Cancel(Progress),
    /// The activity is still at work: keeps its heartbeat timeout from running out.
    #[command(override_usage = usage("heartbeat"))]
    Heartbeat(Progress),
}

/// Which activity, and where the reply goes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).multiple(true).args(["token", "domain", "workflow_id", "run_id", "activity_id"])))]
pub struct Target {
    /// The task token in base64, as in the request. `-` reads it from standard input, which keeps it out of the shell's
    /// history and the process list.
    #[arg(long, value_name = "BASE64", conflicts_with_all = ["domain", "workflow_id", "run_id", "activity_id"])]
    pub token: Option<String>,

    /// By id instead: name of the domain.
    #[arg(long, value_name = "NAME", requires_all = ["workflow_id", "run_id", "activity_id"])]
    pub domain: Option<String>,

    /// By id: the workflow.
    #[arg(long, value_name = "ID", requires = "domain")]
    pub workflow_id: Option<String>,

    /// By id: the run of the workflow.
    #[arg(long, value_name = "UUID", requires = "domain")]
    pub run_id: Option<String>,

    /// By id: the activity in the workflow.
    #[arg(long, value_name = "ID", requires = "domain")]
    pub activity_id: Option<String>,

    /// Reply topic. Default: the first of topics.replies.
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// Names this answer within its activity; comes back in the outcome.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,

    /// Write it as a CloudEvent instead of a JSON envelope. A new `id` is made for it.
    #[arg(long, value_name = "MODE", requires = "token")]
    pub cloudevents: Option<EventMode>,

    /// Check and print the reply, its token redacted, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// How a CloudEvent is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventMode {
    /// Attributes in headers, the value is the payload.
    Binary,
    /// All of it in the value, as JSON.
    Structured,
}

impl From<EventMode> for Mode {
    fn from(mode: EventMode) -> Self {
        match mode {
            EventMode::Binary => Self::BinaryEvent,
            EventMode::Structured => Self::StructuredEvent,
        }
    }
}

/// `handback reply complete`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("payload").required(true).args(["result", "result_file", "no_result"])))]
pub struct Complete {
    /// Which activity.
    #[command(flatten)]
    pub target: Target,

    /// The result as JSON, passed on byte for byte: '{"charge_id": "ch_1"}', '"text"', 42, null.
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub result: Option<String>,

    /// File with the result, any bytes.
    #[arg(long, value_name = "FILE")]
    pub result_file: Option<PathBuf>,

    /// The activity has no result.
    #[arg(long)]
    pub no_result: bool,
}

/// `handback reply fail`
#[derive(Debug, Args)]
pub struct Fail {
    /// Which activity.
    #[command(flatten)]
    pub target: Target,

    /// Reason: what the workflow's list of non-retriable errors matches; for style java the exception's class name.
    #[arg(long, value_name = "TEXT", required_unless_present = "message")]
    pub reason: Option<String>,

    /// Message for people; what style generic sends.
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,

    /// Details as JSON.
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub details: Option<String>,

    /// How the workflow sees the failure.
    #[arg(long, value_enum, default_value_t = Style::Custom)]
    pub style: Style,
}

/// `handback reply cancel` and `handback reply heartbeat`
#[derive(Debug, Args)]
pub struct Progress {
    /// Which activity.
    #[command(flatten)]
    pub target: Target,

    /// Details as JSON.
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub details: Option<String>,
}

/// [`FailureStyle`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// Go: CustomError with reason and details.
    Custom,
    /// Go: GenericError with the message.
    Generic,
    /// Java: the exception class named by the reason.
    Java,
}

impl From<Style> for FailureStyle {
    fn from(style: Style) -> Self {
        match style {
            Style::Custom => Self::Custom,
            Style::Generic => Self::Generic,
            Style::Java => Self::Java,
        }
    }
}

/// The two ways to name an activity; what clap derives from the argument group reads as if one id were enough.
fn usage(action: &str) -> String {
    format!(
        "handback reply {action} --token <BASE64> [OPTIONS]\n       \
         handback reply {action} --domain <NAME> --workflow-id <ID> --run-id <UUID> --activity-id <ID> [OPTIONS]"
    )
}
