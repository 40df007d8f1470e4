//! What a client sent, put together and waiting for the application.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::packet::{AckId, Body, Event};
use crate::{Config, ParseError};
use serde_json::value::RawValue;

/// Events in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    events: VecDeque<Event>,
    /// What those take.
    bytes: usize,
    /// Set while a packet waits for its attachments; rare, so not kept inline.
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    whole: Whole,
    missing: usize,
    bytes: usize,
}

/// A packet with all its attachments.
#[derive(Debug)]
pub(crate) enum Whole {
    Event(Event),
    Answer { id: AckId, args: Vec<Box<RawValue>>, attachments: Vec<Bytes> },
}

impl Whole {
    /// `None` for the packet types that carry no attachments.
    pub(crate) fn from_body(body: Body) -> Option<Self> {
        match body {
            Body::Event { name, args, ack } => {
                Some(Self::Event(Event { name, args, attachments: Vec::new(), ack }))
            }
            Body::Ack { id, args } => Some(Self::Answer { id, args, attachments: Vec::new() }),
            _ => None,
        }
    }

    fn attachments(&mut self) -> &mut Vec<Bytes> {
        match self {
            Self::Event(event) => &mut event.attachments,
            Self::Answer { attachments, .. } => attachments,
        }
    }
}

impl Inbox {
    /// So many events wait, or so large ones, that nothing more is read. What was read already still comes in.
    pub(crate) fn is_full(&self, config: &Config) -> bool {
        self.events.len() >= config.inbound_events.max(1) || self.bytes >= config.inbound_bytes.max(1)
    }

    /// No event waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        self.bytes -= event.as_ref().map_or(0, Event::bytes);
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// Text may come now: no attachment is due.
    pub(crate) fn expects_text(&self) -> bool {
        self.partial.is_none()
    }

    /// A packet came whose attachments follow.
    pub(crate) fn begin(&mut self, whole: Whole, missing: usize, bytes: usize) {
        self.partial = Some(Box::new(Partial { whole, missing, bytes }));
    }

    /// An attachment came. Yields the packet when it was the last one.
    pub(crate) fn attach(&mut self, bytes: Bytes, limit: usize) -> Result<Option<Whole>, ParseError> {
        let mut partial = self.partial.take().ok_or(ParseError::OutOfTurn)?;
        partial.bytes += bytes.len();
        if partial.bytes > limit {
            return Err(ParseError::TooLarge);
        }
        partial.whole.attachments().push(bytes);
        partial.missing -= 1;
        if partial.missing == 0 {
            return Ok(Some(partial.whole));
        }
        self.partial = Some(partial);
        Ok(None)
    }

    pub(crate) fn forget_partial(&mut self) {
        self.partial = None;
    }
}
