//! The same pump for who reads Server-Sent Events: the events' names and arguments are the socket's, the last argument is
//! the event's id, which `EventSource` sends back as `Last-Event-ID`.

use crate::app::App;
use crate::realtime::Served;
use crate::realtime::attach::Attached;
use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{Mode, Start, Unserved};
use tidings_socketio::Packet;
use tidings_store::Resync;
use tokio::time::Instant;

/// A comment is sent after so much silence, so that a dead connection is noticed and proxies keep a live one.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// Without an empty line after it: that would end a block without data, which some clients take for an empty message.
const STILL_HERE: &[u8] = b": still here\n";

/// What one read of the stream brings at most. The body is polled only when the connection has taken what it brought
/// before, so a slow reader lags behind its cursor and nothing queues.
const FRAMES: usize = 64;
const BYTES: usize = 64 * 1024;

struct Reader {
    app: Arc<App>,
    attached: Attached,
    /// When the token ends that opened it.
    until: Option<Instant>,
    opened: bool,
}

/// The body of a stream: first `inbox_ready`, then everything above the cursor, until the reader goes, its token ends, or
/// the server does.
pub fn event_stream(
    app: Arc<App>,
    attached: Attached,
    until: Option<Instant>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    unfold(Reader { app, attached, until, opened: false }, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((Ok(chunk), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.opened {
            self.opened = true;
            // In the first event's block: alone in a block it is an empty event to some clients.
            return Some(format!("retry: 2000\n{}", self.announcement()).into());
        }
        let draining = self.app.draining.clone();
        let (feed, key) = (self.attached.pump.seat().feed.clone(), self.attached.pump.seat().key);
        let served = tokio::select! {
            () = feed.ended(key) => return None,
            () = at(self.until) => return None,
            () = draining.cancelled() => return None,
            served = self.attached.pump.next(FRAMES, BYTES) => served,
            () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(STILL_HERE)),
        };
        match served {
            Served::Frames(frames) => {
                let mut text = String::new();
                for frame in frames {
                    push_event(&mut text, frame.packet.json());
                }
                Some(text.into())
            }
            Served::Resync(reason) => self.start_over(reason).await.map(Bytes::from),
            Served::Broken => None,
        }
    }

    /// `inbox_ready`, and `sync_required` when a cursor could not be resumed.
    fn announcement(&self) -> String {
        let ready = self.attached.ready();
        let mut text = String::new();
        if let Ok(packet) = Packet::event("inbox_ready", &(&ready, ready.offset())) {
            push_event(&mut text, packet.json());
        }
        if let Some(reason) = self.attached.resync {
            text.push_str(&format!(
                "event: sync_required\ndata: [{{\"reason\":\"{}\"}}]\n\n",
                reason.as_str()
            ));
        }
        text
    }

    async fn start_over(&mut self, reason: Resync) -> Option<String> {
        let user = self.attached.pump.user().clone();
        let located = self.app.store.locate(&user, None).await.ok()?;
        let start = Start { cursor: located.head, mode: Mode::Snapshot };
        self.attached.restart(start, &Unserved::default(), Some(reason), located);
        Some(self.announcement())
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Writes `["name",…,"offset"]` as a Server-Sent Event.
fn push_event(text: &mut String, json: &str) {
    let Some((name, rest)) = json.strip_prefix("[\"").and_then(|rest| rest.split_once("\",")) else { return };
    let Some((args, offset)) = rest.strip_suffix("\"]").and_then(|rest| rest.rsplit_once(",\"")) else {
        return;
    };
    text.push_str("id: ");
    text.push_str(offset);
    text.push_str("\nevent: ");
    text.push_str(name);
    text.push_str("\ndata: [");
    // `data` is kept letter by letter and may contain line breaks, which end a line of the stream. Between JSON's tokens
    // they are white space, and within strings they do not occur.
    for part in args.split_inclusive(['\n', '\r']) {
        text.push_str(part.trim_end_matches(['\n', '\r']));
    }
    text.push_str("]\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_with_its_offset_as_its_id() {
        let packet = Packet::event("send_notification", &(("a,\"]", 1), "e:7")).unwrap();
        let mut text = String::new();
        push_event(&mut text, packet.json());
        assert_eq!(text, "id: e:7\nevent: send_notification\ndata: [[\"a,\\\"]\",1]]\n\n");
    }

    #[test]
    fn a_heartbeat_is_a_comment_that_ends_no_block() {
        let text = std::str::from_utf8(STILL_HERE).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with(':') && text.ends_with('\n'));
    }

    #[test]
    fn line_breaks_between_tokens_do_not_end_the_event() {
        let mut text = String::new();
        push_event(&mut text, "[\"x\",{\n\"a\":\r\n1},\"e:1\"]");
        assert_eq!(text, "id: e:1\nevent: x\ndata: [{\"a\":1}]\n\n");
    }
}
