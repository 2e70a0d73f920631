//! The story of one reply, from decoded bytes to a durable outcome. Every branch of a record's fate is in this file, but
//! for what looks into a workflow lead to, `reasons`, and the way to a retry topic, `postpone`.

mod behind;
mod bookkeeping;
mod postpone;
mod reasons;
mod tries;

use self::behind::{behind, follow};
use self::bookkeeping::take_note;
use self::postpone::postpone;
use self::reasons::{explain, look_first, looks_first};
use self::tries::{Decision, Tries};
use super::core::Core;
use super::domains::Listing;
use super::gate::Pass;
use super::judge::Question;
use super::repeats::Repeat;
use super::seams::{Call, CallError, DomainRef, Engine, Log, Verdict};
use super::tiers::Cause;
use super::windows::Slot;
use super::work::{Conclusion, Fate, Work};
use crate::wire::{Action, Evidence, OutcomeKind, Refusal, RefusalCode, Reply, Target};

/// What asking the engine led to.
enum Asked {
    Concluded(Conclusion),
    /// It may lead to something later. The conclusion is what is recorded when there is no later.
    Later(Cause, Conclusion),
    /// A heartbeat without news: nothing to record.
    Silent,
    /// The partition was taken away.
    Abandoned,
}

/// Takes one record to its end. The order of writes is the promise: dead letter, outcome, and only then, by returning
/// [`Fate::Settled`], the offset.
pub(crate) async fn settle<E: Engine, L: Log>(core: &Core<E, L>, work: &Work, mut slot: Slot) -> Fate {
    let entry = core.ledger_entry(work);
    let asked = match &work.reply {
        Err(refusal) => Asked::Concluded(refused(refusal)),
        Ok(reply) => match behind(core, work, reply, entry.as_ref()) {
            Some(ahead) => return Box::pin(follow(core, work, slot, reply, ahead)).await,
            None => match forbidden(core, work, reply, &mut slot).await {
                Some(asked) => asked,
                None => match core.repeat(work, entry.as_ref()) {
                    Repeat::Unknown => ask(core, work, reply, &mut slot).await,
                    Repeat::Redelivery => Asked::Silent,
                    Repeat::Told(conclusion) => Asked::Concluded(conclusion),
                },
            },
        },
    };
    let mut conclusion = match asked {
        Asked::Concluded(conclusion) => conclusion,
        Asked::Later(cause, ending) => match core.next_tier(work, cause) {
            Some(tier) => return Box::pin(postpone(core, work, slot, tier, cause, ending)).await,
            None if silent(work, &ending) => return Fate::Settled,
            None => ending,
        },
        Asked::Silent => {
            take_note(work, || core.has_ended(work));
            return Fate::Settled;
        }
        Asked::Abandoned => return Fate::Abandoned,
    };
    conclusion.attempts = conclusion.attempts.saturating_add(work.earlier);
    if conclusion.outcome == OutcomeKind::Applied {
        // Names with an attempt have an entry only now that their token was found.
        conclusion.entry = entry.or_else(|| core.ledger_entry(work));
    }
    let news = conclusion.cancel_requested;
    slot.start_recording();
    let fate = record(core, work, conclusion).await;
    if news && fate == Fate::Abandoned {
        work.lane.inspect(|lane| core.news.is_news_again(*lane));
    }
    fate
}

/// A heartbeat whose calls came to nothing asks for nothing that could still be done.
fn silent(work: &Work, ending: &Conclusion) -> bool {
    work.is_heartbeat() && ending.outcome == OutcomeKind::Exhausted
}

/// Writes what is to be recorded: dead letter first, outcome second, each acknowledged before the next step.
pub(crate) async fn record<E: Engine, L: Log>(core: &Core<E, L>, work: &Work, conclusion: Conclusion) -> Fate {
    take_note(work, || core.weigh(work, &conclusion));
    if core.dead_letters(work, &conclusion) && Box::pin(core.write_letter(work, &conclusion)).await.is_err() {
        return Fate::Abandoned;
    }
    let kind = conclusion.outcome;
    let domain = core.name_for_show(work, kind).await;
    let outcome = || core.outcome(work, &conclusion, domain.as_deref());
    if core.write(work, outcome).await.is_err() {
        return Fate::Abandoned;
    }
    take_note(work, || {
        core.metrics.outcome(kind);
        core.remember(work, conclusion.entry);
        core.has_ended(work);
    });
    Fate::Settled
}

fn refused(refusal: &Refusal) -> Conclusion {
    Conclusion::rejected(refusal.code, refusal.detail.clone())
}

/// What this installation does not let through, although the reply itself is well-formed.
async fn forbidden<E: Engine, L: Log>(core: &Core<E, L>, work: &Work, reply: &Reply, slot: &mut Slot) -> Option<Asked> {
    let listing = match (core.allowed.lists(&reply.target), &reply.target) {
        (Some(true), _) => return None,
        (None, Target::Token(token)) => Box::pin(core.listing(work, reply, token.claims().domain_id, slot)).await,
        _ => Listing::Unlisted,
    };
    match listing {
        Listing::Listed => None,
        Listing::Unlisted => {
            let (DomainRef::Id(domain) | DomainRef::Name(domain)) = domain(&reply.target);
            let detail = format!("domain {domain} is not in cadence.domains");
            Some(Asked::Concluded(Conclusion::rejected(RefusalCode::DomainNotAllowed, detail)))
        }
        Listing::Untold { cause, detail } => Some(Asked::Later(cause, Conclusion::exhausted(detail))),
        Listing::Gone => Some(Asked::Abandoned),
    }
}

/// Calls the engine until it decides about this record, waiting as long as the engine is unwell.
async fn ask<E: Engine, L: Log>(core: &Core<E, L>, work: &Work, reply: &Reply, slot: &mut Slot) -> Asked {
    let mut tries = Tries::default();
    let identity = core.identity(&work.record.origin, reply);
    let leaving = &work.life.leaving;
    if looks_first(reply) {
        let looking = look_first(core, work, reply, question(reply, &reply.target, &identity), slot, &mut tries);
        match Box::pin(leaving.run_until_cancelled(looking)).await {
            Some(Ok(())) => {}
            Some(Err(asked)) => return asked,
            None => return Asked::Abandoned,
        }
    }
    let call = Call { target: work.target(reply), answer: &reply.answer, identity: &identity };
    loop {
        // At once on a good day: waiting for a cancellation costs a record more than the gate itself.
        let pass = match core.try_permit() {
            Some(pass) => pass,
            None => match Box::pin(leaving.run_until_cancelled(core.permit())).await {
                Some(pass) => pass,
                None => return Asked::Abandoned,
            },
        };
        if leaving.is_cancelled() {
            return Asked::Abandoned;
        }
        let error = match core.engine.call(call).await {
            Ok(accepted) => {
                pass.answered(reply.target.workflow_hash());
                return applied(core, work, reply, accepted.cancel_requested, tries.attempts() + 1);
            }
            Err(error) => error,
        };
        tries.hurried = core.hurries(work);
        let delay = match decide(core, work, reply, pass, &error, &mut tries) {
            Decision::Final if error.verdict == Verdict::NotFound => {
                slot.look();
                let question = question(reply, call.target, &identity);
                let explaining = explain(core, work, question, &error, &mut tries);
                match Box::pin(leaving.run_until_cancelled(explaining)).await {
                    Some(Ok(asked)) => return asked,
                    Some(Err(delay)) => delay,
                    None => return Asked::Abandoned,
                }
            }
            Decision::Final => return final_answer(error, &tries),
            Decision::Wait(delay) => delay,
            Decision::Spent(cause, delay) => {
                slot.park();
                let leaving = leaving.run_until_cancelled(core.leaves_for(cause, call.target, tries.failing_since()));
                match Box::pin(leaving).await {
                    Some(Some(cause)) => return later(core, cause, call.target, &error, tries),
                    Some(None) => delay,
                    None => return Asked::Abandoned,
                }
            }
        };
        core.note_wait(work, &error, delay, tries.attempts());
        // A busy engine is not helped by room for more calls.
        if !slot.park() && error.verdict != (Verdict::Transient { busy: true }) && core.may_spill() {
            return later(core, Cause::Crowded, call.target, &error, tries);
        }
        let waited = leaving.run_until_cancelled(async {
            core.pause(work, delay).await;
            slot.unpark().await;
        });
        // What only a bad day needs is boxed: a story is as large as its largest wait, and moved whole when it begins.
        if Box::pin(waited).await.is_none() {
            return Asked::Abandoned;
        }
    }
}

/// What is asked of a look into the workflow of `target`.
fn question<'a>(reply: &'a Reply, target: &'a Target, identity: &'a str) -> Question<'a> {
    Question { target, answer: &reply.answer, fingerprint: reply.fingerprint, identity }
}

/// What an engine's refusal means for this record and for the gate.
fn decide<'a, E: Engine, L: Log>(
    core: &'a Core<E, L>,
    work: &Work,
    reply: &Reply,
    pass: Pass<'_>,
    error: &CallError,
    tries: &mut Tries<'a>,
) -> Decision {
    let target = &reply.target;
    let workflow = target.workflow_hash();
    match error.verdict {
        Verdict::NotFound | Verdict::Refused(_) => {
            pass.answered(workflow);
            Decision::Final
        }
        Verdict::Transient { busy } => {
            // An engine that asks for less load is well; it is left alone longer instead. And a cancellation that nobody
            // asked for times out on a healthy server.
            if busy || reply.answer.action() == Action::Cancel {
                drop(pass)
            } else {
                pass.failed(workflow, domain(target))
            }
            tries.ambiguous |= !busy;
            tries.failed(core, busy)
        }
        // Said by the frontend alone, also while the rest of the engine is gone: no news for the breaker.
        Verdict::DomainNotActive => {
            drop(pass);
            tries.unready = Some(Box::new(core.inactive_domain(&domain(target), &error.message)));
            tries.slowly(core, Cause::Parked)
        }
        Verdict::UnknownDomain => {
            drop(pass);
            let domain = domain(target);
            tries.unready = core.unknown_domain(&domain, &error.message).map(Box::new);
            tries.unresolved.get_or_insert_with(|| core.unresolved(&domain));
            tries.slowly(core, Cause::UnknownDomain)
        }
        // Again, although a probe has found the wiring sound since: this is about the record.
        Verdict::Wiring if std::mem::replace(&mut tries.suspected, true) => {
            drop(pass);
            tries.unready = Some(Box::new(core.odd_answer(work, error)));
            tries.slowly(core, Cause::Parked)
        }
        Verdict::Wiring => {
            drop(pass);
            core.gate.suspect(format!("{} {}", error.status, error.message));
            tries.failed(core, false)
        }
    }
}

fn applied<E: Engine, L: Log>(
    core: &Core<E, L>,
    work: &Work,
    reply: &Reply,
    cancel_requested: bool,
    attempts: u32,
) -> Asked {
    let news = || cancel_requested && work.lane.is_some_and(|lane| core.news.is_news(lane));
    if reply.answer.action() == Action::Heartbeat && !news() {
        return Asked::Silent;
    }
    let evidence = Some(Evidence::Engine);
    Asked::Concluded(Conclusion { evidence, cancel_requested, attempts, ..Conclusion::of(OutcomeKind::Applied) })
}

/// A reply that leaves for a retry topic; what makes the process unready goes on doing so for the time.
fn later<E: Engine, L: Log>(
    core: &Core<E, L>,
    cause: Cause,
    target: &Target,
    error: &CallError,
    tries: Tries<'_>,
) -> Asked {
    let detail = format!("{}: {}", error.status, error.message);
    let attempts = tries.attempts();
    let unknown_domain = error.verdict == Verdict::UnknownDomain;
    if let Some(unready) = tries.unready.filter(|_| matches!(cause, Cause::Parked | Cause::UnknownDomain)) {
        let domain = (unknown_domain || error.verdict == Verdict::DomainNotActive).then(|| domain(target));
        core.linger(*unready, domain);
    }
    let engine_status = Some(error.status);
    Asked::Later(cause, Conclusion { attempts, engine_status, unknown_domain, ..Conclusion::exhausted(detail) })
}

fn final_answer(error: CallError, tries: &Tries<'_>) -> Asked {
    let code = match error.verdict {
        Verdict::Refused(code) => code,
        _ => RefusalCode::EngineRefused,
    };
    let detail = format!("{}: {}", error.status, error.message);
    Asked::Concluded(Conclusion {
        attempts: tries.attempts() + 1,
        engine_status: Some(error.status),
        ..Conclusion::rejected(code, detail)
    })
}

/// What is said of a record whose handling panicked.
pub(crate) const UNFORESEEN: &str =
    "handling this record failed in an unforeseen way; please report it with the process log";

/// The domain of a target, for probes and reports.
pub(crate) fn domain(target: &Target) -> DomainRef {
    match target {
        Target::Token(token) => DomainRef::Id(token.claims().domain_id.into()),
        Target::ById(id) => DomainRef::Name(id.domain.as_str().into()),
    }
}

/// A record whose handling panicked: dead letter `internal_error`, so that one record cannot hurt the others.
pub(crate) async fn settle_panicked<E: Engine, L: Log>(core: &Core<E, L>, work: &Work) -> Fate {
    tracing::error!(record = %work.record.origin, "handling this record panicked: it becomes a dead letter");
    let rejected = Conclusion::rejected(RefusalCode::InternalError, UNFORESEEN.to_owned());
    record(core, work, Conclusion { attempts: work.earlier, ..rejected }).await
}
