//! What waits to be written.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::packet::Packet;

/// One Engine.IO packet on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Text, with its Engine.IO packet type.
    Text(Utf8Bytes),
    /// An attachment.
    Binary(Bytes),
    /// A ping. Apart from other text because the moment it is written counts.
    Ping,
}

impl Frame {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Ping => 1,
        }
    }
}

/// The outbound queue. Bytes count from being queued until the transport reports them written, so that what lies in a
/// write buffer is not forgotten.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing to hand out; some may still be in the transport's hands.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn push_packet(&mut self, packet: &Packet) {
        self.push(Frame::Text(packet.text.clone()));
        for attachment in packet.attachments.iter().flat_map(|a| a.iter()) {
            self.push(Frame::Binary(attachment.clone()));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front();
        if self.frames.is_empty() {
            // An idle connection should not keep the room of its busiest moment.
            self.frames = VecDeque::new();
        }
        frame
    }

    /// The transport wrote this many bytes of what it had popped.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Forgets what was not handed out.
    pub(crate) fn clear(&mut self) {
        let waiting: usize = self.frames.iter().map(Frame::len).sum();
        self.bytes -= waiting.min(self.bytes);
        self.frames = VecDeque::new();
    }
}
