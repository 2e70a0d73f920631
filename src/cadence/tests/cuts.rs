//! A good exchange that breaks off: at every byte of the answer, by an end of the connection and by silence.

use futures_util::future::join_all;

use super::peer::*;
use super::*;
use crate::bridge::seams::Verdict;

/// All that a good frontend says in one exchange.
fn whole() -> Vec<u8> {
    [settings(&[]), frame(SETTINGS, 1, 0, &[]), answer(1)].concat()
}

/// Places between two frames.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![0];
    while let Some(head) = bytes.get(places[places.len() - 1]..).filter(|rest| !rest.is_empty()) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        places.push(places[places.len() - 1] + 9 + length);
    }
    places
}

/// Plays an answer that ends after so many bytes, in this way.
async fn cut(place: usize, end: Step) {
    let peer = Peer::start(vec![vec![Step::Request, Step::Say(whole()[..place].to_vec()), end.clone()]]).await;
    let silent = matches!(end, Step::Hush);
    let client = client(&if silent { peer.impatient() } else { peer.settings() });
    let answer = complete(&client).await;
    let error = answer.expect_err(&format!("{place} bytes of an answer, then {end:?}, count as one"));
    assert_eq!(error.verdict, Verdict::Transient { busy: false }, "{place} bytes, then {end:?}: {error:?}");
    let failed = until_answered(&client).await;
    // A silent connection is known to be one when a second call on it was not answered either.
    assert!(failed <= usize::from(silent), "{place} bytes, then {end:?}: {failed} more calls failed");
    assert_eq!(peer.connections(), 2, "{place} bytes, then {end:?}");
}

#[tokio::test]
async fn an_answer_cut_off_anywhere_is_no_answer_and_the_next_call_goes_through() {
    play(join_all((0..whole().len()).map(|place| cut(place, Step::Close)))).await;
}

#[tokio::test]
async fn an_answer_that_stops_between_or_within_frames_is_waited_for_until_the_deadline_only() {
    let boundaries = boundaries(&whole());
    let (last, before) = boundaries.split_last().unwrap();
    assert_eq!((*last, before.len()), (whole().len(), 5), "settings, their acknowledgement, head, message, trailers");
    let within = before.iter().map(|place| place + 4);
    play(join_all(before.iter().copied().chain(within).map(|place| cut(place, Step::Hush)))).await;
}
