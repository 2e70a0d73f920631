//! A frontend that is scripted frame by frame: written by hand, because no library would send what is wrong.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::config::Cadence;

/// Deadline of calls that are not to come to it.
const FAR: Duration = Duration::from_secs(30);

/// Deadline of calls that are: long enough for a busy machine, short enough to be waited for.
pub(super) const DEADLINE: Duration = Duration::from_millis(800);

const PREFACE: usize = 24;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

/// What a peer does on a connection, in order. Afterwards it serves as a good frontend does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Writes these bytes.
    Say(Vec<u8>),
    /// Writes these bytes one at a time.
    Spell(Vec<u8>),
    /// Waits for the head of a request.
    Head,
    /// Waits for a whole request.
    Request,
    /// Closes the connection.
    Close,
    /// Says nothing more; what arrives is read.
    Hush,
    /// Says nothing more and reads nothing more.
    Freeze,
}

/// A peer on a port of its own; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Peer {
    address: SocketAddr,
    connections: Arc<Mutex<usize>>,
    task: AbortHandle,
}

impl Peer {
    /// Plays a script on each connection, in the order in which they come; later ones are served well.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, scripts, async |socket| Some(socket))
    }

    /// The same with a handshake of some kind before the first frame.
    pub(super) fn on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        listener: TcpListener,
        scripts: Vec<Vec<Step>>,
        greet: impl AsyncFn(TcpStream) -> Option<S> + Send + Clone + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<usize>>::default();
        let counted = Arc::clone(&connections);
        let task = tokio::task::spawn_local(async move {
            let mut scripts = scripts.into_iter();
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                *counted.lock().unwrap() += 1;
                let (script, greet) = (scripts.next().unwrap_or_default(), greet.clone());
                open.spawn_local(async move {
                    // A client that goes away is no fault of the peer.
                    if let Some(socket) = greet(socket).await {
                        let _ = Conversation { socket, stream: 0, owed: 0 }.play(script).await;
                    }
                });
            }
        });
        Self { address, connections, task: task.abort_handle() }
    }

    /// Connections that were made so far.
    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Settings of a client with one connection and all the time there is.
    pub(super) fn settings(&self) -> Cadence {
        Cadence {
            endpoint: format!("http://{}", self.address),
            connections: 1,
            call_timeout: FAR,
            ..Cadence::default()
        }
    }

    /// The same for calls that are not answered.
    pub(super) fn impatient(&self) -> Cadence {
        Cadence { call_timeout: DEADLINE, ..self.settings() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Conversation<S> {
    socket: S,
    /// The last stream that the client opened.
    stream: u32,
    /// Settings of the client that are not acknowledged yet.
    owed: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    async fn play(mut self, script: Vec<Step>) -> std::io::Result<()> {
        let raw = matches!(script[..], [Step::Close | Step::Freeze, ..]);
        if !raw {
            let mut preface = [0; PREFACE];
            self.socket.read_exact(&mut preface).await?;
        }
        let scripted = !script.is_empty();
        for step in script {
            match step {
                Step::Say(bytes) => self.socket.write_all(&bytes).await?,
                Step::Spell(bytes) => {
                    for byte in bytes {
                        self.socket.write_all(&[byte]).await?;
                        tokio::task::yield_now().await;
                    }
                }
                Step::Head => while self.frame().await?.0 != HEADERS {},
                Step::Request => while !self.ends_request().await? {},
                Step::Close => return self.socket.shutdown().await,
                Step::Hush => loop {
                    self.frame().await?;
                },
                Step::Freeze => pending().await,
            }
        }
        if !scripted {
            self.socket.write_all(&settings(&[])).await?;
        }
        loop {
            let acks = frame(SETTINGS, ACK, 0, &[]).repeat(std::mem::take(&mut self.owed));
            self.socket.write_all(&acks).await?;
            if self.ends_request().await? {
                let answer = answer(self.stream);
                self.socket.write_all(&answer).await?;
            }
        }
    }

    async fn ends_request(&mut self) -> std::io::Result<bool> {
        let (kind, flags) = self.frame().await?;
        Ok(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0)
    }

    /// Type and flags of the next frame.
    async fn frame(&mut self) -> std::io::Result<(u8, u8)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == HEADERS {
            self.stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
        if kind == SETTINGS && flags & ACK == 0 {
            self.owed += 1;
        }
        Ok((kind, flags))
    }
}

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// SETTINGS with these identifiers and values.
pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A block of headers in as many frames as it needs, the names and values as literals.
pub(super) fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.bytes());
        }
    }
    let (continuation, end_headers) = (9, 4);
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    let frames = pieces.iter().enumerate().map(|(place, piece)| {
        let kind = if place == 0 { HEADERS } else { continuation };
        let end = if place == 0 && end { END_STREAM } else { 0 };
        frame(kind, end | if place + 1 == pieces.len() { end_headers } else { 0 }, stream, piece)
    });
    frames.collect::<Vec<_>>().concat()
}

/// HPACK's integer with a prefix of seven bits.
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(u8::try_from(length).unwrap());
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The head of a good answer.
pub(super) fn head(stream: u32) -> Vec<u8> {
    headers(stream, false, &[(":status", "200"), ("content-type", "application/grpc")])
}

/// An empty message.
pub(super) fn message(stream: u32, end: bool) -> Vec<u8> {
    frame(DATA, u8::from(end), stream, &[0; 5])
}

/// The frames of a good answer.
pub(super) fn answer(stream: u32) -> Vec<u8> {
    [head(stream), message(stream, false), headers(stream, true, &[("grpc-status", "0")])].concat()
}
