//! What an application receives.

use bytes::Bytes;
use serde_json::value::RawValue;

/// How many packets were sent on a socket up to a point: 0 before the first, then 1, 2, 3…
pub type Position = u64;

/// The number by which an answer finds its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckId(pub u64);

/// What [`crate::Socket::recv`] yields.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// The client emitted an event.
    Event(Event),
    /// Everything up to this position is proven to have arrived at the client.
    Receipt(Position),
    /// The connection began as polling and is a websocket now; nothing else changes.
    Upgraded,
}

/// An event of the client.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name. A number in its place is kept as its JSON text.
    pub name: String,
    /// The arguments. Where one is binary there is `{"_placeholder":true,"num":n}`, `n` being the index in
    /// `attachments`; it is the client's word and has to be checked like any other.
    pub args: Vec<Box<RawValue>>,
    /// The binary parts.
    pub attachments: Vec<Bytes>,
    /// Set if the client asks for an answer.
    pub ack: Option<AckId>,
}

impl Event {
    /// What its content takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let args: usize = self.args.iter().map(|arg| arg.get().len()).sum();
        self.name.len() + args + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}
