//! What comes out of the channels. Called by the connections: quick, never waits, and believes nothing.

use crate::redis::message::{self, Answered, Asked, Envelope, Gap, Kind, ReadNews};
use crate::redis::questions::Reply;
use crate::redis::{Message, Node, Outgoing, carried::Carried};
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidings_domain::UserId;

impl Node {
    /// The two parts of a pushed message.
    pub(super) fn received(&self, data: &[Value]) {
        self.counters.received.one();
        let [Value::BulkString(channel), Value::BulkString(bytes)] = data else {
            return self.counters.refused.one();
        };
        let Some(envelope) = Envelope::open(bytes) else { return self.counters.refused.one() };
        if envelope.node == self.id {
            if envelope.kind == Kind::Ask {
                self.questions.reply(envelope.id, Reply::Echo);
            }
            return self.counters.own.one();
        }
        if self.read(channel, &envelope).is_none() {
            self.counters.refused.one();
        }
    }

    /// `None` for what cannot be.
    fn read(&self, channel: &[u8], envelope: &Envelope<'_>) -> Option<()> {
        match envelope.kind {
            Kind::News => self.news(&self.user_of(channel)?, envelope.body),
            Kind::Ask => self.asked(&self.user_of(channel)?, envelope),
            Kind::Answer if channel == self.answers_channel(&self.id) => {
                let answered: Answered<'_> = serde_json::from_slice(envelope.body).ok()?;
                self.questions.reply(envelope.id, Reply::Answer(answered.into_answer()));
                Some(())
            }
            Kind::Gap if channel == self.common_channel() => {
                let gap: Gap<'_> = serde_json::from_slice(envelope.body).ok()?;
                if self.is_ours(&gap.epoch) {
                    self.listener()?.gap();
                }
                Some(())
            }
            Kind::Answer | Kind::Gap => None,
        }
    }

    fn news(&self, user: &UserId, body: &[u8]) -> Option<()> {
        if !self.interest.holds(user) {
            self.counters.unheld.one();
            return Some(());
        }
        let news: ReadNews<'_> = serde_json::from_slice(body).ok()?;
        if !self.is_ours(&news.epoch) {
            return Some(());
        }
        self.counters.decoded.one();
        let change = news.change.and_then(|change| {
            let carried: Carried<'_> = serde_json::from_str(change.get()).ok()?;
            carried.into_change(user, news.rev)
        });
        let listener = self.listener()?;
        match change {
            Some(change) => listener.heard(&Arc::new(change)),
            None => listener.raised(user, news.rev),
        }
        Some(())
    }

    fn asked(&self, user: &UserId, envelope: &Envelope<'_>) -> Option<()> {
        let asked: Asked<'_> = serde_json::from_slice(envelope.body).ok()?;
        if !self.is_ours(&asked.epoch) {
            return Some(());
        }
        let answer = self.listener()?.asked(user, asked.question);
        let message = message::seal(&self.id, Kind::Answer, envelope.id, &Answered::from(&answer))?;
        let channel = self.answers_channel(envelope.node);
        // An answer that cannot be sent is one that did not come in time.
        self.send(Outgoing { channel, message: Message::Ready(message), reached: None });
        Some(())
    }

    /// Whether it is of our store; another's is counted, and told once.
    fn is_ours(&self, epoch: &str) -> bool {
        let ours = epoch == self.epoch();
        if !ours {
            self.counters.foreign.one();
            if !self.told_of_foreign.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    redis.prefix = self.options.prefix,
                    "a node with another store, or with another life of this one, uses the same channels; it is ignored"
                );
            }
        }
        ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::carried::tests::changes;
    use crate::redis::message::{News, seal};
    use crate::redis::{Listening, Options, RedisBus};
    use crate::{Answer, Listener, Online, Question};
    use proptest::prelude::*;
    use tidings_domain::{Change, DeviceId, Epoch, Revision};

    struct Silent;

    impl Listener for Silent {
        fn heard(&self, _: &Arc<Change>) {}
        fn raised(&self, _: &UserId, _: Revision) {}
        fn joined(&self, _: &[UserId]) {}
        fn gap(&self) {}
        fn asked(&self, _: &UserId, _: Question) -> Answer {
            Answer::Ended(0)
        }
    }

    /// One message of each kind, with its channel.
    fn messages(node: &Node) -> Vec<(Vec<u8>, Vec<u8>)> {
        let other = [7; 16];
        let epoch = || node.epoch().into();
        let user = UserId::new("ana").unwrap();
        let online = Answer::Online(vec![Online { device: DeviceId::new("d").unwrap(), transport: "sse" }]);
        let asked = Asked { epoch: epoch(), question: Question::EndSessions };
        let mut messages = vec![
            (node.user_channel(&user), seal(&other, Kind::Ask, 1, &asked)),
            (node.answers_channel(&node.id), seal(&other, Kind::Answer, 1, &Answered::from(&online))),
            (node.common_channel(), seal(&other, Kind::Gap, 0, &Gap { epoch: epoch() })),
        ];
        for change in changes() {
            let news = News { epoch: epoch(), rev: 44, change: Some(Carried::of(&change)) };
            messages.push((node.user_channel(&user), seal(&other, Kind::News, 0, &news)));
        }
        messages.into_iter().map(|(channel, message)| (channel, message.unwrap())).collect()
    }

    fn with_node(run: impl Fn(&Node)) {
        let listener: Arc<dyn Listener> = Arc::new(Silent);
        let bus = RedisBus::new("redis://localhost".parse().unwrap(), Options::default());
        let epoch = Epoch::new("e1").unwrap();
        let _ = bus.node.listening.set(Listening { epoch, listener: Arc::downgrade(&listener) });
        bus.node.interest.join(&UserId::new("ana").unwrap());
        run(&bus.node);
    }

    fn receive(node: &Node, channel: &[u8], message: Vec<u8>) {
        node.received(&[Value::BulkString(channel.to_vec()), Value::BulkString(message)]);
    }

    #[test]
    fn every_kind_of_message_is_read() {
        with_node(|node| {
            let messages = messages(node);
            let count = messages.len() as u64;
            messages.into_iter().for_each(|(channel, message)| receive(node, &channel, message));
            let counts = node.counters.read();
            assert_eq!((counts.received, counts.refused, counts.decoded), (count, 0, count - 3));
        });
    }

    proptest! {
        #[test]
        fn whatever_lies_in_a_channel_is_read_or_refused(
            which in 0_usize..7,
            at in any::<prop::sample::Index>(),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            anything in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            with_node(|node| {
                for (channel, _) in messages(node) {
                    receive(node, &channel, anything.clone());
                }
                let (channel, mut message) = messages(node).swap_remove(which);
                let from = at.index(message.len());
                message.splice(from..(from + bytes.len() / 2).min(message.len()), bytes.iter().copied());
                receive(node, &channel, message);
                receive(node, &anything, bytes.clone());
                node.received(&[Value::Nil]);
            });
        }
    }
}
