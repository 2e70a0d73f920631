//! What a worker writes: the outcome of every record, the dead letter of some, each until it is durable.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::core::Core;
use super::seams::{Engine, Log, ProduceFault};
use super::work::{Conclusion, Gone, Work};
use crate::wire::{ActivityView, DeadLetter, Kept, OutRecord, Outcome, OutcomeKind, Target, TokenPrint};

/// First pause after a record could not be written, and the longest. A broker that elects leaders needs seconds.
const WRITE_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Failed writes of one record that pass quietly: a leader election is one or two, a topic without enough in-sync
/// replicas is more.
const MAX_QUIET_FAULTS: usize = 3;

/// Longest write that fails quietly, because the client has tried for so long by itself: twice a leader election.
const MAX_QUIET: Duration = Duration::from_secs(10);

/// How long an outcome waits for its domain's name. A healthy frontend tells it in 1 ms, and once per domain.
const NAME_TIMEOUT: Duration = Duration::from_millis(200);

/// How long no names are asked for after that failed.
const NO_NAMES_FOR: Duration = Duration::from_secs(60);

/// Why a record is not written.
pub(crate) enum Unwritten {
    /// The partition was taken away.
    Gone,
    /// It is larger than its topic takes; the text says what would help.
    TooLarge(String),
}

/// What becomes of a record that is larger than its topic takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TooLarge {
    /// It waits until the topic takes more.
    Waits,
    /// Whoever writes it is told.
    IsTold,
}

impl<E: Engine, L: Log> Core<E, L> {
    /// Whether what became of this record also goes to the dead-letter topic.
    pub(crate) fn dead_letters(&self, work: &Work, conclusion: &Conclusion) -> bool {
        let wanted = &self.options.dead_letters;
        let heartbeat = work.is_heartbeat();
        match conclusion.outcome {
            OutcomeKind::Applied | OutcomeKind::Duplicate => false,
            OutcomeKind::Conflict | OutcomeKind::Rejected | OutcomeKind::Exhausted => true,
            // A heartbeat that comes too late asks for nothing that a replay could still do.
            OutcomeKind::Unknown => !heartbeat,
            OutcomeKind::Superseded => wanted.superseded && !heartbeat,
            OutcomeKind::TimedOut => wanted.timed_out && !heartbeat,
            OutcomeKind::WorkflowClosed => wanted.workflow_closed && !heartbeat,
            OutcomeKind::NotFound => wanted.not_found && !heartbeat,
        }
    }

    /// Writes the dead letter of a record: as much of the record as the topic takes.
    pub(crate) async fn write_letter(&self, work: &Work, conclusion: &Conclusion) -> Result<(), Gone> {
        for kept in [Kept::All, Kept::AllButValue] {
            match self.write_if_it_fits(work, || self.dead_letter(work, conclusion, kept)).await {
                Ok(()) => {
                    self.metrics.dead_letter();
                    return Ok(());
                }
                Err(Unwritten::Gone) => return Err(Gone),
                Err(Unwritten::TooLarge(text)) => {
                    let record = &work.record.origin;
                    tracing::warn!(%record, "its dead letter will not hold all of it: {text}");
                }
            }
        }
        // Small whatever was received: a topic that does not take it has to be mended.
        self.write(work, || self.dead_letter(work, conclusion, Kept::Key)).await?;
        self.metrics.dead_letter();
        Ok(())
    }

    /// The dead letter of a record, with that much of it.
    fn dead_letter(&self, work: &Work, conclusion: &Conclusion, kept: Kept) -> OutRecord {
        let letter = DeadLetter {
            record: &work.record,
            outcome: conclusion.outcome,
            reason: conclusion.reason.unwrap_or_else(|| conclusion.outcome.as_str()),
            detail: conclusion.detail.as_deref().unwrap_or_default(),
            attempts: conclusion.attempts,
            engine_status: conclusion.engine_status,
            token: self.token_print(work),
        };
        letter.to_record_with(kept, Arc::clone(&self.options.dead_letter_topic))
    }

    /// The keyed fingerprint of the record's token, for dead letters and logs.
    fn token_print(&self, work: &Work) -> Option<TokenPrint> {
        match &work.reply {
            Ok(reply) => match &reply.target {
                Target::Token(token) => Some(self.printer.print(token.bytes())),
                Target::ById(_) => None,
            },
            Err(refusal) => refusal.token_print(&self.printer),
        }
    }

    /// The outcome record of a record. `domain` is the name of the activity's domain, where it is known.
    pub(crate) fn outcome(&self, work: &Work, conclusion: &Conclusion, domain: Option<&str>) -> OutRecord {
        let origin = &work.record.origin;
        // The wall clock may have been set back in between.
        let settled_at_ms = self.now_ms().max(work.received_at_ms);
        let mut outcome = Outcome::new(conclusion.outcome, origin.clone(), work.received_at_ms, settled_at_ms);
        outcome.reason = conclusion.reason.map(Into::into);
        outcome.detail = conclusion.detail.clone();
        outcome.evidence = conclusion.evidence;
        outcome.cancel_requested = conclusion.cancel_requested;
        outcome.attempts = conclusion.attempts;
        outcome.ledger = conclusion.entry;
        let activity = match &work.reply {
            Ok(reply) => {
                outcome.action = Some(reply.answer.action());
                outcome.idempotency_key = reply.idempotency_key.clone();
                outcome.fingerprint = Some(reply.fingerprint);
                outcome.metadata = reply.metadata.clone();
                outcome.cloud_event = reply.event.clone();
                outcome.traceparent = reply.traceparent.clone();
                Some(ActivityView::of(work.target(reply), domain.or(reply.target.domain_name())))
            }
            // Whatever a refused reply said about itself, so that its service can recognise it.
            Err(refusal) => {
                outcome.action = refusal.action;
                outcome.idempotency_key = refusal.idempotency_key.clone();
                outcome.metadata = refusal.metadata.clone();
                outcome.cloud_event = refusal.event.clone();
                outcome.traceparent = refusal.traceparent.clone();
                refusal.activity.as_ref().map(ActivityView::from)
            }
        };
        outcome.into_record_about(activity, Arc::clone(&self.options.outcome_topic), origin.partition)
    }

    /// The name of the domain that a token names, if it can be had at once. An answer that the engine took must not wait
    /// unrecorded for a name that is only shown; after a failure nobody asks for a while.
    pub(crate) async fn name_for_show(&self, work: &Work, kind: OutcomeKind) -> Option<Arc<str>> {
        // Only for what the engine accepted: anything else may name domains that do not exist.
        let (OutcomeKind::Applied, Ok(Target::Token(token))) = (kind, work.reply.as_ref().map(|reply| &reply.target))
        else {
            return None;
        };
        if self.no_names_before.get().is_some_and(|then| then > Instant::now()) {
            return None;
        }
        let mut naming = pin!(self.engine.domain_name(token.claims().domain_id));
        // Known at once but for the first record of a domain: no timer for that.
        let said = match naming.as_mut().now_or_never() {
            Some(said) => said.ok(),
            None => Box::pin(tokio::time::timeout(NAME_TIMEOUT, naming)).await.ok().and_then(Result::ok),
        };
        if said.is_none() {
            self.no_names_before.set(Some(Instant::now() + NO_NAMES_FOR));
        }
        said.flatten()
    }

    /// Writes until it is durable; fails closed. While it fails the record is not done and its partition waits, also when
    /// its topic does not take records as large as this one.
    /// The record is made anew if it must be written again, which is rare, rather than kept until it is durable.
    pub(crate) async fn write(&self, work: &Work, make: impl Fn() -> OutRecord) -> Result<(), Gone> {
        let began = Instant::now();
        match self.log.produce(make()).await {
            Ok(()) => Ok(()),
            Err(fault) => match Box::pin(self.write_again(work, make(), fault, began, TooLarge::Waits)).await {
                Ok(()) | Err(Unwritten::TooLarge(_)) => Ok(()),
                Err(Unwritten::Gone) => Err(Gone),
            },
        }
    }

    /// The same, but for a record that may be larger than its topic takes: that is told instead.
    pub(crate) async fn write_if_it_fits(&self, work: &Work, make: impl Fn() -> OutRecord) -> Result<(), Unwritten> {
        let began = Instant::now();
        match self.log.produce(make()).await {
            Ok(()) => Ok(()),
            Err(ProduceFault::TooLarge(text)) => Err(Unwritten::TooLarge(text)),
            Err(fault) => Box::pin(self.write_again(work, make(), fault, began, TooLarge::IsTold)).await,
        }
    }

    async fn write_again(
        &self,
        work: &Work,
        record: OutRecord,
        first: ProduceFault,
        began: Instant,
        too_large: TooLarge,
    ) -> Result<(), Unwritten> {
        let mut fault = first;
        let mut pause = WRITE_PAUSES.0;
        let mut faults = 0;
        let mut _unready;
        loop {
            if let (TooLarge::IsTold, ProduceFault::TooLarge(text)) = (too_large, &mut fault) {
                return Err(Unwritten::TooLarge(std::mem::take(text)));
            }
            self.metrics.produce_retry();
            let origin = &work.record.origin;
            let reason = |text: &str| format!("what became of {origin} cannot be written to {}: {text}", record.topic);
            // An answer of the engine that is not recorded is lost with the partition, so a write that may succeed is
            // tried until the very end.
            let mut until = &work.life.gone;
            faults += 1;
            match fault {
                ProduceFault::Transient(text) => {
                    tracing::warn!("{}; trying again", reason(&text));
                    if faults >= MAX_QUIET_FAULTS || began.elapsed() >= MAX_QUIET {
                        _unready =
                            self.unready.hold_because(format!("write/{}", record.topic), &text, || reason(&text));
                    }
                }
                ProduceFault::Permanent(text) | ProduceFault::TooLarge(text) => {
                    _unready = self.unready.hold_because(format!("write/{}", record.topic), &text, || reason(&text));
                    pause = WRITE_PAUSES.1;
                    until = &work.life.leaving;
                }
                ProduceFault::Fatal(text) => self.die(reason(&text)),
            }
            until.run_until_cancelled(tokio::time::sleep(pause)).await.ok_or(Unwritten::Gone)?;
            pause = (pause * 2).min(WRITE_PAUSES.1);
            match self.log.produce(record.clone()).await {
                Ok(()) => return Ok(()),
                Err(again) => fault = again,
            }
        }
    }
}
