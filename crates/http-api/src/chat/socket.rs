//! Turns over a WebSocket: the same requests and events as text frames, several turns at once.
//!
//! Reading never waits for writing: only who reads notices that the peer has left. The reader
//! turns frames into commands, the writer does them and sends what comes of them. Whichever ends
//! first ends the socket, and with it every listener.

mod command;
mod frame;

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SelectAll, SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use self::{
    command::{Asked, Command},
    frame::Frames,
};
use crate::{api::App, edge::RequestId, error::ApiError, extract::Caller};

/// Most turns that one socket listens to.
const MAX_TURNS: usize = 16;
/// Most answers that are under way on one socket, so that a turn can always be stopped.
const MAX_ANSWERS: usize = 64;
/// Most commands that wait for the writer; who sends more while taking nothing is cut.
const MAX_COMMANDS: usize = 64;
/// After how many heartbeats without a sign of the peer it is cut.
const SILENT_BEATS: u32 = 3;
/// How long a closing socket may take to say so.
const CLOSING: Duration = Duration::from_secs(1);

/// Whom a socket serves.
#[derive(Clone, Debug)]
struct Peer {
    app: App,
    caller: Caller,
    id: RequestId,
}

/// Opens a socket.
pub(crate) async fn socket(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade
        .map_err(|error| ApiError::invalid(format!("this path takes WebSockets only: {error}")))?;
    let (max, peer) = (app.config.max_body_bytes, Peer { app: app.clone(), caller, id });
    let upgrade = upgrade.max_message_size(max).max_frame_size(max);
    Ok(upgrade.on_upgrade(move |socket| app.sockets.track_future(serve(socket, peer))))
}

async fn serve(socket: WebSocket, peer: Peer) {
    let (mut sink, stream) = socket.split();
    let (commands, received) = mpsc::channel(MAX_COMMANDS);
    let silence = peer.app.config.heartbeat.saturating_mul(SILENT_BEATS);
    let reason = tokio::select! {
        reason = read(stream, commands, silence) => reason,
        reason = write(&mut sink, received, &peer) => reason,
    };
    let Some((code, text)) = reason else { return };
    let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(text) }));
    // The peer may be gone; then there is nobody to tell.
    drop(timeout(CLOSING, sink.send(close)).await);
}

/// Why a socket is closed, for the peer; `None` where there is no peer any more.
type Reason = Option<(u16, &'static str)>;

/// Turns frames into commands until the peer has left.
async fn read(
    mut stream: SplitStream<WebSocket>,
    commands: mpsc::Sender<Utf8Bytes>,
    silence: Duration,
) -> Reason {
    loop {
        match timeout(silence, stream.next()).await {
            Err(_) => return Some((close_code::AWAY, "no sign of the peer")),
            Ok(None | Some(Ok(Message::Close(_)))) => return None,
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "a socket broke");
                return Some((close_code::PROTOCOL, "the frame cannot be read, or is too large"));
            }
            Ok(Some(Ok(Message::Binary(_)))) => {
                return Some((close_code::UNSUPPORTED, "send text frames"));
            }
            // Pings are answered below this layer; both are signs of life.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(Some(Ok(Message::Text(text)))) => {
                if commands.try_send(text).is_err() {
                    return Some((close_code::POLICY, "too many frames wait to be answered"));
                }
            }
        }
    }
}

/// Does what the peer asks, and sends what comes of it.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    mut received: mpsc::Receiver<Utf8Bytes>,
    peer: &Peer,
) -> Reason {
    let heartbeat = peer.app.config.heartbeat;
    let mut beats = interval_at(Instant::now() + heartbeat, heartbeat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns: SelectAll<Frames> = SelectAll::new();
    loop {
        let message = tokio::select! {
            frame = turns.next(), if !turns.is_empty() => match frame {
                Some(frame) => Message::Text(frame.into()),
                None => continue,
            },
            Some(text) = received.recv() => {
                turns.push(answer(&text, turns.len(), peer));
                continue;
            }
            _ = beats.tick() => Message::Ping(Bytes::new()),
            () = peer.app.draining.cancelled(), if turns.is_empty() => {
                return Some((close_code::AWAY, "the service is shutting down"));
            }
            else => return None,
        };
        if sink.send(message).await.is_err() {
            return None;
        }
    }
}

/// The frames that come of one frame.
fn answer(text: &str, answers: usize, peer: &Peer) -> Frames {
    let Asked { about, command } = Asked::parse(text);
    let command = command.and_then(|command| {
        let most = if matches!(command, Command::Cancel(_)) { MAX_ANSWERS } else { MAX_TURNS };
        if answers < most {
            return Ok(command);
        }
        Err(ApiError::overloaded("too many turns on this socket; open another one"))
    });
    match command {
        Ok(command) => command.run(peer, about),
        Err(error) => frame::one(frame::of_error(&error, &peer.id, &about)),
    }
}
