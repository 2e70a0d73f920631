//! What the engine said of domains: asked once for all who ask at the same time, and remembered within bounds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::bridge::seams::CallError;

/// Domains remembered that there are, and as many questions that had no such answer, apart from them: tokens can name any
/// UUID. Memory must not follow them, and however many do, none of what is there is asked for again.
const MAX_REMEMBERED: usize = 1024;

/// A domain that the engine does not know, or did not tell of, is asked for again after this long: it may just have been
/// registered. Failures too: a frontend that denies the question (it is one of the few that are authorised) must not be asked
/// it for every record.
const MISSED_FOR: Duration = Duration::from_secs(2);

/// An answer, or none.
type Said = Result<Option<Arc<str>>, CallError>;

/// Something that was said, by what was asked for, with the time.
type Table<T> = HashMap<Arc<str>, (T, Instant)>;

/// Answers to questions of one kind, by what was asked for.
#[derive(Debug)]
pub(super) struct Answers {
    /// How long a domain's answer stays true.
    found_for: Duration,
    found: RefCell<Table<Arc<str>>>,
    missed: RefCell<Table<Said>>,
    asking: RefCell<HashMap<Arc<str>, Rc<Mutex<()>>>>,
}

impl Answers {
    pub(super) fn new(found_for: Duration) -> Self {
        Self { found_for, found: RefCell::default(), missed: RefCell::default(), asking: RefCell::default() }
    }

    /// What was said lately, or else what `ask` answers. Cancel safe: if whoever asks gives up, the next one does.
    pub(super) async fn get(&self, of: &str, ask: impl AsyncFnOnce() -> Said) -> Said {
        if let Some(said) = self.remembered(of) {
            return said;
        }
        let turn = Turn::new(self, of);
        let _ours = turn.lock.lock().await;
        if let Some(said) = self.remembered(of) {
            return said;
        }
        let said = ask().await;
        self.remember(of, &said);
        said
    }

    fn remembered(&self, of: &str) -> Option<Said> {
        if let Some((found, at)) = self.found.borrow().get(of)
            && (self.found_for == Duration::MAX || at.elapsed() < self.found_for)
        {
            return Some(Ok(Some(Arc::clone(found))));
        }
        let missed = self.missed.borrow();
        missed.get(of).filter(|(_, at)| at.elapsed() < MISSED_FOR).map(|(said, _)| said.clone())
    }

    fn remember(&self, of: &str, said: &Said) {
        let now = Instant::now();
        if let Ok(Some(found)) = said {
            self.missed.borrow_mut().remove(of);
            insert(&mut self.found.borrow_mut(), of, (Arc::clone(found), now));
        } else {
            let mut missed = self.missed.borrow_mut();
            missed.retain(|_, (_, at)| at.elapsed() < MISSED_FOR);
            insert(&mut missed, of, (said.clone(), now));
        }
    }
}

/// Remembers an answer, in the place of the oldest one where there are too many.
fn insert<T>(answers: &mut Table<T>, of: &str, answer: (T, Instant)) {
    if answers.len() >= MAX_REMEMBERED && !answers.contains_key(of) {
        let oldest = answers.iter().min_by_key(|(_, (_, at))| *at).map(|(of, _)| Arc::clone(of));
        oldest.map(|oldest| answers.remove(&oldest));
    }
    answers.insert(of.into(), answer);
}

/// One of those who ask the same.
struct Turn<'a> {
    answers: &'a Answers,
    of: Arc<str>,
    lock: Rc<Mutex<()>>,
}

impl<'a> Turn<'a> {
    fn new(answers: &'a Answers, of: &str) -> Self {
        let of: Arc<str> = of.into();
        let lock = Rc::clone(answers.asking.borrow_mut().entry(Arc::clone(&of)).or_default());
        Self { answers, of, lock }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // The last one: the other is the table's.
        if Rc::strong_count(&self.lock) == 2 {
            self.answers.asking.borrow_mut().remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;
    use crate::bridge::seams::Verdict;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Something that is asked, takes a millisecond, and counts.
    #[derive(Default)]
    struct Frontend(Cell<usize>);

    impl Frontend {
        async fn say(&self, said: Said) -> Said {
            self.0.set(self.0.get() + 1);
            tokio::time::sleep(Duration::from_millis(1)).await;
            said
        }
    }

    fn name(said: &Said) -> Option<&str> {
        said.as_ref().ok()?.as_deref()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_the_same_at_the_same_time_asks_once() {
        let (answers, frontend) = (Answers::new(DAY), Frontend::default());
        let ask = |_| answers.get("id", || frontend.say(Ok(Some("orders".into()))));
        let all = join_all((0..17).map(ask)).await;
        assert!(all.iter().all(|said| name(said) == Some("orders")));
        assert_eq!(frontend.0.get(), 1);
        let denied = CallError { verdict: Verdict::Wiring, status: "PERMISSION_DENIED", message: "no".to_owned() };
        let ask = |_| answers.get("other", || frontend.say(Err(denied.clone())));
        assert!(join_all((0..17).map(ask)).await.iter().all(Result::is_err));
        assert_eq!(frontend.0.get(), 2, "failures are shared too");
        assert!(answers.asking.borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_nobody_waiting() {
        let (answers, frontend) = (Answers::new(DAY), Frontend::default());
        let ask = || answers.get("id", || frontend.say(Ok(Some("orders".into()))));
        let mut gives_up = Box::pin(ask());
        assert!(gives_up.as_mut().now_or_never().is_none());
        let mut waits = Box::pin(ask());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(gives_up);
        assert_eq!((name(&waits.await), frontend.0.get()), (Some("orders"), 2));
        assert!(answers.asking.borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn ids_that_nobody_has_registered_push_out_none_that_is_and_are_bounded() {
        let (answers, frontend) = (Answers::new(DAY), Frontend::default());
        answers.get("good", || frontend.say(Ok(Some("orders".into())))).await.unwrap();
        for number in 0..5_000 {
            assert_eq!(name(&answers.get(&number.to_string(), || frontend.say(Ok(None))).await), None);
        }
        assert!(answers.missed.borrow().len() <= MAX_REMEMBERED);
        frontend.0.set(0);
        assert_eq!(name(&answers.get("good", || frontend.say(Ok(None))).await), Some("orders"));
        assert_eq!(frontend.0.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unknown_is_asked_for_again_after_a_time_and_what_is_found_when_it_is_old() {
        let (answers, frontend) = (Answers::new(Duration::from_secs(60)), Frontend::default());
        for (after, expected, asked) in
            [(0, None, 1), (1, None, 1), (2, Some("a"), 2), (59, Some("a"), 2), (2, None, 3)]
        {
            tokio::time::sleep(Duration::from_secs(after)).await;
            let said = Ok((frontend.0.get() == 1).then(|| "a".into()));
            assert_eq!((name(&answers.get("id", || frontend.say(said)).await), frontend.0.get()), (expected, asked));
        }
    }
}
