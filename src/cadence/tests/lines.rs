//! Connections as they come and go, and what the frontend is told of each call.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::join_all;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;

use tonic::transport::Endpoint;

use super::peer::*;
use super::*;
use crate::cadence::api;
use crate::cadence::api::worker_api_client::WorkerApiClient;
use crate::cadence::line::Lines;

/// Serves each stream with a task of its own, over `h2`.
async fn frontend<F: Future<Output = ()> + 'static>(
    configure: impl FnOnce(&mut h2::server::Builder),
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + 'static,
) -> Cadence {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut builder = h2::server::Builder::new();
    configure(&mut builder);
    tokio::task::spawn_local(async move {
        let (socket, _) = listener.accept().await.unwrap();
        // Only the first connection: whoever comes later is refused.
        drop(listener);
        let mut connection = builder.handshake(socket).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::task::spawn_local(serve(request, respond));
        }
    });
    Cadence { endpoint, connections: 1, call_timeout: DEADLINE, ..Cadence::default() }
}

fn answer_well(mut respond: SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
    body.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])).unwrap();
}

#[tokio::test]
async fn the_deadline_is_told_to_the_server_and_resets_the_stream() {
    play(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Rc::new(Cell::new(Some(tell)));
        let settings = frontend(
            |_| {},
            move |request, mut respond| {
                let tell = Rc::clone(&tell);
                async move {
                    let timeout = request.headers()["grpc-timeout"].clone();
                    let reason = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                    tell.take().unwrap().send((timeout, reason.unwrap())).unwrap();
                }
            },
        )
        .await;
        let client = client(&settings);
        assert_eq!(complete(&client).await.unwrap_err().status, "DEADLINE_EXCEEDED");
        let (timeout, reason) = told.await.unwrap();
        assert_eq!(reason, Reason::CANCEL);
        assert_eq!(timeout, format!("{}u", DEADLINE.as_micros()));
    })
    .await;
}

#[tokio::test]
async fn calls_above_the_servers_limit_of_streams_wait_and_none_fails() {
    play(async {
        const LIMIT: usize = 4;
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let seen = Rc::clone(&most);
        let settings = frontend(
            |builder| {
                builder.max_concurrent_streams(LIMIT as u32);
            },
            move |_, respond| {
                let (now, most) = (Rc::clone(&now), Rc::clone(&most));
                async move {
                    now.set(now.get() + 1);
                    most.set(most.get().max(now.get()));
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    now.set(now.get() - 1);
                    answer_well(respond);
                }
            },
        )
        .await;
        let client = client(&settings);
        // The first answer brings the limit.
        complete(&client).await.unwrap();
        for answer in join_all((0..100).map(|_| complete(&client))).await {
            answer.unwrap();
        }
        assert_eq!(seen.get(), LIMIT);
    })
    .await;
}

#[tokio::test]
async fn a_result_larger_than_the_window_goes_through_as_a_slow_server_reads_it() {
    play(async {
        let settings = frontend(
            |_| {},
            |request, respond| async move {
                let (mut body, mut read) = (request.into_body(), 0);
                while let Some(piece) = body.data().await {
                    let piece = piece.unwrap();
                    read += piece.len();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    body.flow_control().release_capacity(piece.len()).unwrap();
                }
                assert!(read > 1 << 20);
                answer_well(respond);
            },
        )
        .await;
        complete_with(&client(&settings), 1 << 20).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_falls_silent_costs_one_deadline_and_not_every_call_on_it() {
    play(async {
        let silent = [vec![Step::Say(settings(&[])), Step::Request], vec![Step::Say(answer(1)), Step::Hush]].concat();
        let peer = Peer::start(vec![silent]).await;
        let client = client(&Cadence { connections: 2, ..peer.impatient() });
        complete(&client).await.unwrap();
        complete(&client).await.unwrap();
        let answers: Vec<bool> = {
            let mut answers = Vec::new();
            for _ in 0..12 {
                answers.push(complete(&client).await.is_ok());
            }
            answers
        };
        let failed = answers.iter().filter(|answered| !**answered).count();
        assert_eq!(failed, 1, "{answers:?}");
        assert_eq!(peer.connections(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_slow_call_does_not_cost_the_connection_while_others_are_answered() {
    play(async {
        let calls = Cell::new(0);
        let settings = frontend(
            |_| {},
            move |_, mut respond| {
                calls.set(calls.get() + 1);
                let stuck = calls.get() == 2;
                async move {
                    if stuck {
                        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                    } else {
                        answer_well(respond);
                    }
                }
            },
        )
        .await;
        let client = client(&settings);
        complete(&client).await.unwrap();
        let stuck = complete(&client);
        let others = async {
            for _ in 0..20 {
                tokio::time::sleep(DEADLINE / 10).await;
                complete(&client).await.unwrap();
            }
        };
        let (stuck, ()) = futures_util::join!(stuck, others);
        assert_eq!(stuck.unwrap_err().status, "DEADLINE_EXCEEDED");
    })
    .await;
}

#[tokio::test]
async fn a_frontend_that_closes_every_connection_is_not_stormed() {
    play(async {
        let peer = Peer::start(vec![vec![Step::Close]; 100_000]).await;
        let client = client(&Cadence { connections: 2, ..peer.settings() });
        let calls = Cell::new(0);
        let load = join_all((0..8).map(|_| async {
            loop {
                assert!(complete(&client).await.is_err());
                calls.set(calls.get() + 1);
                tokio::task::yield_now().await;
            }
        }));
        let _ = tokio::time::timeout(Duration::from_secs(1), load).await;
        // Two at once, then after 25 to 50 ms, 50 to 100, 100 to 200, 200 to 400, 400 to 800: seven at most, on each of two.
        assert!((4..=14).contains(&peer.connections()), "{} connections for {} calls", peer.connections(), calls.get());
    })
    .await;
}

#[tokio::test]
async fn calls_that_wait_for_a_connection_end_at_their_deadline_too() {
    play(async {
        // Takes connections and never answers the handshake of TLS.
        let peer = Peer::start(vec![vec![Step::Freeze]; 100]).await;
        let settings = Cadence { endpoint: format!("https://127.0.0.1:{}", peer.port()), ..peer.impatient() };
        let client = client(&settings);
        for answer in join_all((0..5).map(|_| complete(&client))).await {
            assert_eq!(answer.unwrap_err().status, "DEADLINE_EXCEEDED");
        }
    })
    .await;
}

/// A call over lines that live so long.
async fn complete_over(lines: &Lines) -> Result<(), tonic::Status> {
    let (channel, line) = lines.next();
    let request = api::RespondActivityTaskCompletedRequest::default();
    lines.ask(line, DEADLINE, WorkerApiClient::new(channel).respond_activity_task_completed(request)).await.map(|_| ())
}

fn short_lived(settings: &Cadence) -> Lines {
    let endpoint = Endpoint::from_shared(settings.endpoint.clone()).unwrap();
    Lines::new(endpoint, DEADLINE, Duration::from_millis(20), 1)
}

#[tokio::test]
async fn a_connection_that_is_old_is_followed_by_another_and_no_call_notices() {
    play(async {
        let peer = Peer::start(vec![]).await;
        let lines = short_lived(&peer.settings());
        let began = Instant::now();
        while peer.connections() < 4 {
            complete_over(&lines).await.unwrap();
            assert!(began.elapsed() < 10 * DEADLINE, "{} connections", peer.connections());
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_old_is_kept_while_no_other_can_be_made() {
    play(async {
        let served = Rc::new(Cell::new(0));
        let counted = Rc::clone(&served);
        let settings = frontend(
            |_| {},
            move |_, respond| {
                counted.set(counted.get() + 1);
                async move { answer_well(respond) }
            },
        )
        .await;
        let (lines, began) = (short_lived(&settings), Instant::now());
        while began.elapsed() < Duration::from_millis(200) {
            complete_over(&lines).await.unwrap();
        }
        assert!(served.get() > 10);
    })
    .await;
}
