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
    frames: VecDeque<Entry>,
    bytes: usize,
    packets: u64,
}

#[derive(Debug)]
struct Entry {
    frame: Frame,
    /// With it a packet of the application is complete.
    completes: bool,
}

impl Outbox {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Packets of the application that are not handed out completely.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    /// Nothing to hand out; some may still be in the transport's hands.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Queues what belongs to the protocol itself.
    pub(crate) fn push(&mut self, frame: Frame) {
        self.push_entry(Entry { frame, completes: false });
    }

    fn push_entry(&mut self, entry: Entry) {
        self.bytes += entry.frame.len();
        self.packets += u64::from(entry.completes);
        self.frames.push_back(entry);
    }

    pub(crate) fn push_packet(&mut self, packet: &Packet) {
        let attachments = packet.attachments.as_deref().unwrap_or_default();
        let frame = Frame::Text(packet.text.clone());
        self.push_entry(Entry { frame, completes: attachments.is_empty() });
        for (n, attachment) in attachments.iter().enumerate() {
            let frame = Frame::Binary(attachment.clone());
            self.push_entry(Entry { frame, completes: n + 1 == attachments.len() });
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let entry = self.frames.pop_front()?;
        self.packets -= u64::from(entry.completes);
        if self.frames.is_empty() {
            // An idle connection should not keep the room of its busiest moment.
            self.frames = VecDeque::new();
        }
        Some(entry.frame)
    }

    /// The transport wrote this many bytes of what it had popped.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Forgets what was not handed out.
    pub(crate) fn clear(&mut self) {
        while let Some(frame) = self.pop() {
            self.bytes = self.bytes.saturating_sub(frame.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_written_and_packets_until_handed_out() {
        let mut outbox = Outbox::default();
        outbox.push(Frame::Ping);
        outbox.push_packet(&Packet::event("a", &()).unwrap());
        outbox
            .push_packet(&Packet::binary("b", &(), vec![Bytes::from_static(b"123"), Bytes::new()]).unwrap());
        let bytes = outbox.bytes();
        assert_eq!((bytes, outbox.packets()), (1 + 7 + 9 + 3, 2));
        let left: Vec<u64> = std::iter::from_fn(|| outbox.pop().map(|_| outbox.packets())).collect();
        assert_eq!(left, [2, 1, 1, 1, 0]);
        assert_eq!(outbox.bytes(), bytes);
        outbox.written(bytes);
        assert_eq!(outbox.bytes(), 0);
    }
}
