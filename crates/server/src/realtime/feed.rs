use crate::realtime::Frame;
use crate::revocation::Issued;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidings_bus::Online;
use tidings_domain::{DeviceId, Epoch, Revision, Timestamp};
use tokio::sync::Notify;

/// The bounds of one user's ring of encoded frames. A reader that falls behind them reads from the store.
const RING_FRAMES: usize = 64;
const RING_BYTES: usize = 256 * 1024;

/// What one user's readers on this node share: how far the log has come, and the newest frames, encoded once. A frame
/// is dropped as soon as every reader took it, so that an idle user's ring is empty.
#[derive(Debug, Default)]
pub struct Feed {
    /// The inbox's; set by the first reader that knows it.
    epoch: OnceLock<Epoch>,
    state: Mutex<State>,
    /// Woken when `head` has moved.
    pub news: Notify,
    /// Woken when sessions are ended.
    ends: Notify,
}

#[derive(Debug, Default)]
struct State {
    head: Revision,
    ring: VecDeque<Arc<Frame>>,
    bytes: usize,
    readers: Readers,
    /// How many readers have taken everything up to where, in ascending order: so that neither taking nor dropping a frame
    /// looks at every reader.
    standing: Vec<(Revision, usize)>,
}

/// The readers, each at its key.
#[derive(Debug, Default)]
struct Readers {
    seats: Vec<Option<Reader>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Reader {
    /// Everything up to here was taken. `None`: has not begun, and holds nothing back.
    cursor: Option<Revision>,
    device: DeviceId,
    transport: &'static str,
    /// The token that opened it, if one did.
    issued: Option<Issued>,
    ended: bool,
}

/// What a reader finds above its cursor.
#[derive(Debug)]
pub enum Taken {
    /// Nothing.
    Nothing,
    /// These, without a hole; perhaps not all.
    Frames(Vec<Arc<Frame>>),
    /// Something that the ring does not hold.
    InStore,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements below: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch of the inbox, once a reader has told it.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.get()
    }

    /// Tells the epoch of the inbox. It is the same for all readers.
    pub fn set_epoch(&self, epoch: &Epoch) {
        let known = self.epoch.get_or_init(|| epoch.clone());
        debug_assert_eq!(known, epoch, "an inbox has one epoch while it has readers");
    }

    /// A reader joins; it is a device that is online. Returns its key, which is its own until it leaves.
    pub fn join(&self, device: DeviceId, transport: &'static str) -> usize {
        let reader = Reader { cursor: None, device, transport, issued: None, ended: false };
        self.lock().readers.insert(reader)
    }

    /// A reader leaves. Returns how many are left.
    pub fn leave(&self, key: usize) -> usize {
        let mut state = self.lock();
        if let Some(Reader { cursor: Some(cursor), .. }) = state.readers.remove(key) {
            state.leaves(cursor);
        }
        state.trim();
        state.readers.len()
    }

    /// Ends all who read now. Returns how many that were not ended before.
    pub fn end(&self) -> usize {
        let mut state = self.lock();
        let ended = state.readers.iter_mut().map(|reader| mem::replace(&mut reader.ended, true));
        let ended = ended.filter(|before| !before).count();
        drop(state);
        self.ends.notify_waiters();
        ended
    }

    /// Ends those whose token was issued before `ended_at`.
    pub fn end_issued_before(&self, ended_at: Timestamp) {
        let mut state = self.lock();
        for reader in state.readers.iter_mut() {
            reader.ended |= reader.issued.is_some_and(|issued| issued.is_ended(ended_at));
        }
        drop(state);
        self.ends.notify_waiters();
    }

    /// Whether any reader came with a token.
    pub fn has_tokens(&self) -> bool {
        self.lock().readers.iter().any(|reader| reader.issued.is_some())
    }

    /// The reader came with this token, or with another one now.
    pub fn set_issued(&self, key: usize, issued: Option<Issued>) {
        if let Some(reader) = self.lock().readers.get_mut(key) {
            reader.issued = issued;
        }
    }

    /// Waits until this reader is ended. Safe to drop while it waits.
    pub async fn ended(&self, key: usize) {
        loop {
            let ends = self.ends.notified();
            tokio::pin!(ends);
            ends.as_mut().enable();
            if self.lock().readers.get_mut(key).is_some_and(|reader| reader.ended) {
                return;
            }
            ends.await;
        }
    }

    /// The reader's connection has become another kind.
    pub fn set_transport(&self, key: usize, transport: &'static str) {
        if let Some(reader) = self.lock().readers.get_mut(key) {
            reader.transport = transport;
        }
    }

    /// How far the log has come, as far as was heard.
    pub fn head(&self) -> Revision {
        self.lock().head
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        self.lock().readers.len()
    }

    /// The devices that are online here, with how they came.
    pub fn online(&self) -> Vec<Online> {
        let state = self.lock();
        let readers = state.readers.iter();
        readers.map(|reader| Online { device: reader.device.clone(), transport: reader.transport }).collect()
    }

    /// The log has come at least this far; readers that are behind look.
    pub fn raise(&self, head: Revision) {
        let mut state = self.lock();
        if head > state.head {
            state.head = head;
            drop(state);
            self.news.notify_waiters();
        }
    }

    /// The store stands at `head`, although `heard` was heard before it was asked: that was no news of this inbox. Without
    /// this, its readers would look for it in the store again and again.
    pub fn retract_head(&self, heard: Revision, head: Revision) {
        let mut state = self.lock();
        if state.head == heard && head < heard {
            state.head = head;
            while state.ring.back().is_some_and(|frame| frame.rev > head) {
                if let Some(frame) = state.ring.pop_back() {
                    state.bytes -= frame.packet.len();
                }
            }
        }
    }

    /// A fresh frame, in any order and any number of times: what does not continue the ring is not kept, since the
    /// store has it.
    pub fn push(&self, frame: Frame) {
        let mut state = self.lock();
        match state.ring.back().map(|last| last.rev) {
            Some(last) if frame.rev <= last => return,
            // A hole: what is before it is of no use to those who come to it.
            Some(last) if frame.prev != last => state.clear(),
            _ => {}
        }
        let rev = frame.rev;
        state.bytes += frame.packet.len();
        state.ring.push_back(Arc::new(frame));
        state.bound();
        state.head = state.head.max(rev);
        drop(state);
        self.news.notify_waiters();
    }

    /// What lies above `cursor`, at most `frames` of at most `bytes` in all (but at least one). The reader has then
    /// taken it.
    pub fn take(&self, key: usize, cursor: Revision, frames: usize, bytes: usize) -> Taken {
        let mut state = self.lock();
        let mut at = cursor;
        let mut taken = Vec::new();
        let mut size = 0;
        let start = state.ring.partition_point(|frame| frame.rev <= cursor);
        for frame in state.ring.iter().skip(start) {
            if frame.prev != at
                || taken.len() >= frames
                || (!taken.is_empty() && size + frame.packet.len() > bytes)
            {
                break;
            }
            at = frame.rev;
            size += frame.packet.len();
            taken.push(frame.clone());
        }
        let behind = state.head > at;
        state.reached(key, at);
        match taken.is_empty() {
            false => Taken::Frames(taken),
            true if behind => Taken::InStore,
            true => Taken::Nothing,
        }
    }

    /// The reader has got everything up to `cursor` otherwise.
    pub fn reached(&self, key: usize, cursor: Revision) {
        self.lock().reached(key, cursor);
    }
}

impl State {
    fn reached(&mut self, key: usize, cursor: Revision) {
        let Some(reader) = self.readers.get_mut(key) else { return };
        let before = reader.cursor.replace(cursor);
        if before == Some(cursor) {
            return;
        }
        if let Some(before) = before {
            self.leaves(before);
        }
        match self.standing.binary_search_by_key(&cursor, |(at, _)| *at) {
            Ok(index) => self.standing[index].1 += 1,
            Err(index) => {
                if self.standing.is_empty() {
                    self.standing.reserve_exact(1);
                }
                self.standing.insert(index, (cursor, 1));
            }
        }
        self.trim();
    }

    /// One reader does not stand at `cursor` any more.
    fn leaves(&mut self, cursor: Revision) {
        if let Ok(index) = self.standing.binary_search_by_key(&cursor, |(at, _)| *at) {
            self.standing[index].1 -= 1;
            if self.standing[index].1 == 0 {
                self.standing.remove(index);
            }
        }
    }

    /// Drops what every reader has taken.
    fn trim(&mut self) {
        let taken = self.standing.first().map_or(Revision::MAX, |(cursor, _)| *cursor);
        while self.ring.front().is_some_and(|frame| frame.rev <= taken) {
            self.drop_front();
        }
        if self.ring.is_empty() && self.ring.capacity() > 8 {
            self.ring = VecDeque::new();
        }
    }

    /// Drops the oldest until the ring is within its bounds; its newest frame may stay alone past them.
    fn bound(&mut self) {
        while self.ring.len() > 1 && (self.ring.len() > RING_FRAMES || self.bytes > RING_BYTES) {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some(frame) = self.ring.pop_front() {
            self.bytes -= frame.packet.len();
        }
    }

    fn clear(&mut self) {
        self.ring.clear();
        self.bytes = 0;
    }
}

impl Readers {
    fn insert(&mut self, reader: Reader) -> usize {
        match self.free.pop() {
            Some(key) => {
                self.seats[key] = Some(reader);
                key
            }
            None => {
                // Nearly every user has one reader: room for four would be most of what a feed weighs.
                if self.seats.is_empty() {
                    self.seats.reserve_exact(1);
                }
                self.seats.push(Some(reader));
                self.seats.len() - 1
            }
        }
    }

    fn remove(&mut self, key: usize) -> Option<Reader> {
        let reader = self.seats.get_mut(key)?.take();
        if reader.is_some() {
            self.free.push(key);
        }
        reader
    }

    fn get_mut(&mut self, key: usize) -> Option<&mut Reader> {
        self.seats.get_mut(key)?.as_mut()
    }

    fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.seats.iter().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reader> {
        self.seats.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_socketio::Packet;

    fn frame(rev: Revision) -> Frame {
        Frame { prev: rev - 1, rev, reached: rev, packet: Packet::event("e", &(rev,)).unwrap() }
    }

    fn feed() -> (Feed, usize) {
        let feed = Feed::default();
        let key = feed.join(DeviceId::new("d").unwrap(), "websocket");
        feed.reached(key, 0);
        (feed, key)
    }

    fn revs(taken: Taken) -> Vec<Revision> {
        match taken {
            Taken::Frames(frames) => frames.iter().map(|frame| frame.rev).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_continues_is_taken_in_order_and_then_dropped() {
        let (feed, key) = feed();
        (1..=3).for_each(|rev| feed.push(frame(rev)));
        assert_eq!(revs(feed.take(key, 0, 2, usize::MAX)), [1, 2]);
        assert_eq!(revs(feed.take(key, 2, 64, usize::MAX)), [3]);
        assert!(matches!(feed.take(key, 3, 64, usize::MAX), Taken::Nothing));
        assert!(feed.lock().ring.is_empty());
    }

    #[test]
    fn a_hole_is_read_from_the_store() {
        let (feed, key) = feed();
        feed.push(frame(1));
        feed.push(frame(3));
        assert!(matches!(feed.take(key, 0, 64, usize::MAX), Taken::InStore));
        assert_eq!(revs(feed.take(key, 2, 64, usize::MAX)), [3]);
    }

    #[test]
    fn doubled_and_late_frames_are_not_kept() {
        let (feed, key) = feed();
        for rev in [1, 2, 2, 1, 3] {
            feed.push(frame(rev));
        }
        assert_eq!(revs(feed.take(key, 0, 64, usize::MAX)), [1, 2, 3]);
    }

    #[test]
    fn the_ring_is_bounded_for_a_reader_that_does_not_take() {
        let (feed, key) = feed();
        (1..=1000).for_each(|rev| feed.push(frame(rev)));
        assert_eq!(feed.lock().ring.len(), RING_FRAMES);
        assert!(matches!(feed.take(key, 0, 64, usize::MAX), Taken::InStore));
    }

    #[test]
    fn a_raised_head_without_frames_is_in_the_store() {
        let (feed, key) = feed();
        feed.raise(5);
        assert!(matches!(feed.take(key, 4, 64, usize::MAX), Taken::InStore));
        assert!(matches!(feed.take(key, 5, 64, usize::MAX), Taken::Nothing));
    }

    #[test]
    fn false_news_is_forgotten_and_hides_no_true_news() {
        let (feed, key) = feed();
        feed.push(frame(1));
        feed.push(frame(900));
        feed.raise(Revision::MAX);
        feed.retract_head(Revision::MAX, 1);
        assert_eq!((feed.head(), feed.lock().bytes), (1, 0));
        assert!(matches!(feed.take(key, 1, 64, usize::MAX), Taken::Nothing));
        feed.push(frame(2));
        assert_eq!(revs(feed.take(key, 1, 64, usize::MAX)), [2]);
        // What was heard since the store was asked stays.
        feed.retract_head(Revision::MAX, 1);
        assert_eq!(feed.head(), 2);
    }

    #[test]
    fn bytes_bound_a_take_but_one_frame_always_passes() {
        let (feed, key) = feed();
        (1..=3).for_each(|rev| feed.push(frame(rev)));
        assert_eq!(revs(feed.take(key, 0, 64, 1)), [1]);
    }

    #[test]
    fn a_frame_is_kept_until_the_last_of_many_readers_took_it() {
        let feed = Feed::default();
        let join = |name: &str| feed.join(DeviceId::new(name).unwrap(), "websocket");
        let keys: Vec<usize> = (0..100).map(|n| join(&n.to_string())).collect();
        keys.iter().for_each(|key| feed.reached(*key, 0));
        (1..=2).for_each(|rev| feed.push(frame(rev)));
        for key in &keys[1..] {
            assert_eq!(revs(feed.take(*key, 0, 64, usize::MAX)), [1, 2]);
            assert_eq!(feed.lock().ring.len(), 2);
        }
        // Where they stand is kept once a place, not once a reader.
        assert_eq!(feed.lock().standing, [(0, 1), (2, 99)]);
        assert_eq!(feed.leave(keys[0]), 99);
        assert!(feed.lock().ring.is_empty());
        // A key is given again once it is free.
        let again = join("again");
        assert_eq!(again, keys[0]);
        feed.push(frame(3));
        assert_eq!(feed.lock().ring.len(), 1);
        keys[1..].iter().for_each(|key| drop(feed.take(*key, 2, 64, usize::MAX)));
        assert!(feed.lock().ring.is_empty(), "who has not begun holds nothing back");
        keys[1..].iter().chain([&again]).for_each(|key| {
            feed.leave(*key);
        });
        assert!(feed.lock().standing.is_empty());
    }
}
