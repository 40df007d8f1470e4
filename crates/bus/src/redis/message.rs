//! What stands in a channel. 16 bytes say which node wrote it, one byte what it is, eight which question it belongs to; the
//! rest is JSON. So a node knows its own messages, which Redis brings back to it, without reading them.
//!
//! Nothing here is believed: who can write into the channel can write anything. What is too long or cannot be read is
//! refused, what can be read is held to the limits of the domain.

use crate::{Answer, Online, Question};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use tidings_domain::{DeviceId, Revision};

/// The longest message that is read. The longest that is written is an answer with 1,000 devices, their names escaped.
pub const LONGEST: usize = 512 * 1024;

/// How many devices are told at most; as many as the store tells.
const DEVICES: usize = 1_000;

const HEAD: usize = 16 + 1 + 8;

/// A node's name, new with each start.
pub type NodeId = [u8; 16];

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An inbox has a new revision: [`News`].
    News,
    /// A question to those who hold a user: [`Asked`].
    Ask,
    /// Its answer, to the node that asked: [`Answered`].
    Answer,
    /// The writer could not tell all of its news: [`Gap`].
    Gap,
}

/// A message, not read yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub node: &'a [u8],
    pub kind: Kind,
    pub id: u64,
    pub body: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// `None` for what is no message.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        let (head, body) = bytes.split_at_checked(HEAD)?;
        let kind = match head[16] {
            b'n' => Kind::News,
            b'?' => Kind::Ask,
            b'!' => Kind::Answer,
            b'g' => Kind::Gap,
            _ => return None,
        };
        let id = u64::from_be_bytes(head[17..].try_into().ok()?);
        Some(Self { node: &head[..16], kind, id, body })
    }
}

/// The bytes of a message; `None` when the body cannot be written.
pub fn seal(node: &NodeId, kind: Kind, id: u64, body: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(node);
    bytes.push(match kind {
        Kind::News => b'n',
        Kind::Ask => b'?',
        Kind::Answer => b'!',
        Kind::Gap => b'g',
    });
    bytes.extend_from_slice(&id.to_be_bytes());
    serde_json::to_writer(&mut bytes, body).ok()?;
    Some(bytes)
}

/// A new revision of the inbox whose channel this is; the one before it is `rev - 1`.
#[derive(Debug, Serialize, Deserialize)]
pub struct News<'a, C> {
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    pub rev: Revision,
    /// What happened, when it is small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<C>,
}

/// News as it is read: what happened is looked at only when the rest is in order, and a newer node may tell it otherwise.
pub type ReadNews<'a> = News<'a, &'a RawValue>;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked<'a> {
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    pub question: Question,
}

/// Somebody's news was lost.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gap<'a> {
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answered<'a> {
    /// Device and transport of each.
    #[serde(borrow)]
    Online(Vec<(Cow<'a, str>, Cow<'a, str>)>),
    /// How many.
    Ended(usize),
}

impl<'a> From<&'a Answer> for Answered<'a> {
    fn from(answer: &'a Answer) -> Self {
        match answer {
            Answer::Online(online) => Self::Online(
                online
                    .iter()
                    .take(DEVICES)
                    .map(|online| (online.device.as_str().into(), online.transport.into()))
                    .collect(),
            ),
            Answer::Ended(ended) => Self::Ended(*ended),
        }
    }
}

impl Answered<'_> {
    /// The answer, without what is none.
    pub fn into_answer(self) -> Answer {
        match self {
            Self::Online(online) => Answer::Online(
                online
                    .iter()
                    .take(DEVICES)
                    .filter_map(|(device, transport)| {
                        Some(Online {
                            device: DeviceId::new(device).ok()?,
                            transport: ["websocket", "polling", "sse"]
                                .into_iter()
                                .find(|known| known == transport)?,
                        })
                    })
                    .collect(),
            ),
            Self::Ended(ended) => Answer::Ended(ended),
        }
    }
}
