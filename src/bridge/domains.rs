//! Which domains replies may answer, and what is said of those that cannot be answered now.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::core::Core;
use super::seams::{CallError, DomainRef, Engine, Log, Verdict};
use super::settle::domain;
use super::tiers::Cause;
use super::unready::Held;
use super::windows::Slot;
use super::work::Work;
use crate::wire::{Reply, Target};

/// How long what the engine said of the allowed names is the last word. A domain that was registered later than this has no
/// activity yet whose reply could be here, and however many replies name other domains, the engine is not asked more often.
const RESOLVED_FOR: Duration = Duration::from_secs(2);

/// Longest wait to learn whether a domain ever was, before its reply leaves. It only decides whether that counts as a flood.
const STRANGE_TIMEOUT: Duration = Duration::from_millis(200);

/// Whether a domain is on the allow-list.
pub(crate) enum Listing {
    Listed,
    /// As the reply names it.
    Unlisted,
    /// It cannot be told for now, and why. The engine may have said that it does not know an allowed name.
    Untold {
        cause: Cause,
        detail: String,
    },
    /// The partition was taken away.
    Gone,
}

/// The domains of `cadence.domains`, and which ids the engine gives them.
#[derive(Debug)]
pub(crate) struct Allowed {
    names: Vec<Arc<str>>,
    /// Their names, by id: never more than there are names.
    ids: RefCell<FxHashMap<Arc<str>, Arc<str>>>,
    last: RefCell<Option<Resolution>>,
    /// Held by whoever asks the engine: the others wait for what it is told.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Resolution {
    began: Instant,
    missing: Option<Missing>,
}

/// Why not every allowed name has an id.
#[derive(Clone, Debug)]
enum Missing {
    /// The engine knows no domain of this name.
    Unknown(Arc<str>),
    /// The engine did not tell.
    Untold(Arc<str>, CallError),
}

impl Allowed {
    /// An empty list allows everything.
    pub(crate) fn new(names: &[String]) -> Self {
        let names = names.iter().map(|name| name.as_str().into()).collect();
        Self { names, ids: RefCell::default(), last: RefCell::default(), turn: Mutex::new(()) }
    }

    /// Whether a target may be answered; `None` when the engine has to be asked first.
    pub(crate) fn lists(&self, target: &Target) -> Option<bool> {
        if self.names.is_empty() {
            return Some(true);
        }
        match target {
            Target::ById(id) => Some(self.names.iter().any(|name| **name == *id.domain)),
            Target::Token(token) => self.name_of(token.claims().domain_id).map(|_| true),
        }
    }

    /// The name of an allowed domain.
    fn name_of(&self, id: &str) -> Option<Arc<str>> {
        self.ids.borrow().get(id).cloned()
    }

    /// Asks the engine for the ids of all names, one for all who wait, unless that was done lately. Answers what is missing.
    async fn resolve<E: Engine>(&self, engine: &E) -> Option<Missing> {
        let asked = Instant::now();
        let _turn = self.turn.lock().await;
        if let Some(last) = self.last.borrow().as_ref().filter(|last| last.began + RESOLVED_FOR > asked) {
            return last.missing.clone();
        }
        let began = Instant::now();
        let mut missing = None;
        for name in &self.names {
            match engine.domain_id(name).await {
                Ok(id) => {
                    if id.is_none() {
                        missing.get_or_insert_with(|| Missing::Unknown(Arc::clone(name)));
                    }
                    let mut ids = self.ids.borrow_mut();
                    ids.retain(|_, known| known != name);
                    ids.extend(id.map(|id| (id, Arc::clone(name))));
                }
                // What was known stays known. The other names would fare no better.
                Err(error) => {
                    missing = Some(Missing::Untold(Arc::clone(name), error));
                    break;
                }
            }
        }
        *self.last.borrow_mut() = Some(Resolution { began, missing: missing.clone() });
        missing
    }
}

/// A reply that waits because the engine does not know its domain; counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Unresolved<'a>(&'a Cell<usize>);

impl Drop for Unresolved<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<E: Engine, L: Log> Core<E, L> {
    /// Whether the domain of a token is on the allow-list, for one whose id is none that the engine has told.
    pub(crate) async fn listing(&self, work: &Work, reply: &Reply, id: &str, slot: &mut Slot) -> Listing {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let spent = attempts >= self.options.retry.max_attempts || self.hurries(work);
            // A partition that leaves waits for no engine that is silent.
            let resolve = self.allowed.resolve(&self.engine);
            let Some(missing) = work.life.leaving.run_until_cancelled(resolve).await else { return Listing::Gone };
            if self.allowed.name_of(id).is_some() {
                slot.unpark().await;
                return Listing::Listed;
            }
            let Some(missing) = missing else { return Listing::Unlisted };
            let (unready, _counted, cause, detail, name) = match missing {
                Missing::Unknown(name) => {
                    let detail = format!("the engine knows no domain {name}, which may be {id}");
                    let named = DomainRef::Name(Arc::clone(&name));
                    let unready = self.unknown_domain(&named, "cadence.domains names it");
                    (unready, Some(self.unresolved(&named)), Cause::UnknownDomain, detail, name)
                }
                Missing::Untold(name, error) => {
                    self.note_wait(work, &error, self.options.retry.max, attempts);
                    let transient = matches!(error.verdict, Verdict::Transient { .. });
                    let cause = if transient { Cause::Failing } else { Cause::Parked };
                    let detail = format!("the id of domain {name} is not told: {} {}", error.status, error.message);
                    (spent.then(|| self.untold_domain(&name, &error)), None, cause, detail, name)
                }
            };
            if !slot.park() && self.may_spill() {
                return Listing::Untold { cause: Cause::Crowded, detail };
            }
            if spent && let Some(cause) = self.leaves_for(cause, &reply.target, self.gate.now()).await {
                unready.into_iter().for_each(|unready| self.linger(unready, Some(DomainRef::Name(Arc::clone(&name)))));
                return Listing::Untold { cause, detail };
            }
            let pause = self.pause(work, self.options.retry.max);
            if work.life.leaving.run_until_cancelled(pause).await.is_none() {
                return Listing::Gone;
            }
        }
    }

    /// Counts a reply whose domain the engine does not know, for as long as what is returned lives.
    pub(crate) fn unresolved(&self, domain: &DomainRef) -> Unresolved<'_> {
        let waiting = &self.unresolved_replies;
        if waiting.replace(waiting.get() + 1) == 0 {
            let (DomainRef::Id(name) | DomainRef::Name(name)) = domain;
            tracing::warn!("replies wait for domains that the engine does not know, the first of them for {name}");
        }
        Unresolved(waiting)
    }

    /// Whether the engine has never known the domain of a reply, as far as can be told at once.
    pub(crate) async fn is_strange(&self, work: &Work) -> bool {
        let Ok(reply) = &work.reply else { return false };
        let known = async {
            match domain(&reply.target) {
                DomainRef::Id(id) => self.engine.domain_name(&id).await,
                DomainRef::Name(name) => self.engine.domain_id(&name).await,
            }
        };
        matches!(tokio::time::timeout(STRANGE_TIMEOUT, known).await, Ok(Ok(None)))
    }

    /// Replies for this domain wait: whether it will exist is a question of wiring or replication, not of the reply. A reason
    /// to be unready where the settings name it; others may name what they like.
    pub(crate) fn unknown_domain(&self, domain: &DomainRef, text: &str) -> Option<Held<'_>> {
        let name = match domain {
            DomainRef::Id(id) => self.allowed.name_of(id)?,
            DomainRef::Name(name) => self.allowed.names.iter().find(|allowed| *allowed == name).cloned()?,
        };
        Some(self.unready.hold_because(format!("domain/{name}"), text, || {
            format!(
                "the engine does not know domain {name} ({text}): its replies wait. Register the domain, or point \
                 cadence.endpoint at the cluster that has it"
            )
        }))
    }

    /// Replies for this domain wait: another cluster answers for it at the moment.
    pub(crate) fn inactive_domain(&self, domain: &DomainRef, text: &str) -> Held<'_> {
        let (DomainRef::Id(name) | DomainRef::Name(name)) = domain;
        self.unready.hold_because(format!("inactive/{name}"), text, || {
            format!(
                "domain {name} is not active in this cluster ({text}): its replies wait. Point cadence.endpoint at the \
                 active cluster, or fail the domain over"
            )
        })
    }

    /// Replies by id with an attempt wait: what they answer cannot be looked up.
    pub(crate) fn denied(&self, domain: &DomainRef, error: &CallError) -> Held<'_> {
        let (DomainRef::Id(name) | DomainRef::Name(name)) = domain;
        self.unready.hold_because(format!("denied/{name}"), &error.told(), || {
            format!(
                "the engine denies looking into domain {name} ({} {}): its replies by id with an attempt wait. Let this caller \
                 describe workflows and read their histories, or answer by task token",
                error.status, error.message
            )
        })
    }

    /// Replies wait: whether their domains are on the allow-list cannot be told without the id of this one.
    fn untold_domain(&self, name: &str, error: &CallError) -> Held<'_> {
        self.unready.hold_because(format!("domain/{name}"), &error.told(), || {
            format!(
                "the engine does not tell the id of domain {name} ({} {}): replies wait, because cadence.domains allows \
                 domains by name. Let this caller describe domains, or empty cadence.domains",
                error.status, error.message
            )
        })
    }
}
