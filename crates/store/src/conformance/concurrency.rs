use super::Factory;
use super::fixture::{Fixture, numbers, user};
use crate::{ChangesQuery, InboxQuery};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidings_domain::{Mark, MarkOp, MarkTarget};
use tokio::task::JoinHandle;

/// So many tasks, each sending so many to one inbox and some to its own.
fn senders(it: &Arc<Fixture>, tasks: usize, each: usize) -> Vec<JoinHandle<Vec<u64>>> {
    let sender = |task: usize| {
        let it = Arc::clone(it);
        async move {
            let mut seqs = Vec::new();
            for n in 0..each {
                if n % 5 == 0 {
                    it.send(&format!("own-{task}"), "m").await;
                }
                if n % 7 == 0 {
                    let pair = vec![it.outgoing("ana", "a"), it.outgoing("ana", "b")];
                    seqs.extend(it.append(pair).await.iter().map(|receipt| receipt.seq));
                } else {
                    seqs.push(it.send("ana", "m").await.seq);
                }
            }
            seqs
        }
    };
    (0..tasks).map(|task| tokio::spawn(sender(task))).collect()
}

pub async fn many_senders_leave_no_holes(factory: &dyn Factory) {
    let it = Arc::new(Fixture::open(factory).await);
    let mut all = Vec::new();
    for sender in senders(&it, 16, 20) {
        let seqs = sender.await.unwrap();
        assert!(seqs.is_sorted(), "who waits for an answer comes later");
        all.extend(seqs);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(it.head("ana").await, all.len() as u64);
    it.audit("ana").await;
    it.audit("own-3").await;
}

pub async fn readers_see_prefixes_only(factory: &dyn Factory) {
    let it = Arc::new(Fixture::open(factory).await);
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (it, done) = (Arc::clone(&it), Arc::clone(&done));
        tokio::spawn(async move {
            let (ana, mut before) = (user("ana"), 0);
            let mut last_round = false;
            while !last_round {
                last_round = done.load(Ordering::SeqCst);
                let log = it
                    .store
                    .changes(&ana, ChangesQuery { bytes: usize::MAX, ..ChangesQuery::new(0, 100_000) })
                    .await
                    .unwrap();
                let revs: Vec<_> = log.entries.iter().map(|entry| entry.rev()).collect();
                assert_eq!(revs, (1..=log.head).collect::<Vec<_>>(), "all up to the head, and nothing above");
                assert_eq!(log.counts, numbers(log.head, log.head, log.head));
                assert!(log.head >= before, "never back");
                before = log.head;
                let page =
                    it.store.inbox(&ana, InboxQuery { limit: 1, ..InboxQuery::default() }).await.unwrap();
                assert_eq!(page.notifications.first().map_or(0, |newest| newest.seq), page.head);
                assert_eq!(page.counts.total, page.head);
                assert!(page.head >= before);
                before = page.head;
            }
            before
        })
    };
    let mut sent = 0;
    for sender in senders(&it, 8, 20) {
        sent += sender.await.unwrap().len() as u64;
    }
    done.store(true, Ordering::SeqCst);
    assert_eq!(reader.await.unwrap(), sent);
}

/// A device that reads up to a cursor and goes on from there hears of later changes by their ids alone. So what it has read
/// must hold every notification that was created up to there, in whatever state.
pub async fn resumes_are_whole_while_marks_go_on(factory: &dyn Factory) {
    let it = Arc::new(Fixture::open(factory).await);
    it.send_many("ana", 20).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (it, done) = (Arc::clone(&it), Arc::clone(&done));
        tokio::spawn(async move {
            let mut read = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let log = it
                    .store
                    .changes(
                        &user("ana"),
                        ChangesQuery { bytes: usize::MAX, ..ChangesQuery::new(0, 100_000) },
                    )
                    .await
                    .unwrap();
                assert!(!log.has_more);
                read.push((log.cursor, log.entries.iter().map(|entry| entry.seq()).collect::<BTreeSet<_>>()));
            }
            read
        })
    };
    let sending = senders(&it, 2, 15);
    for round in 0..40 {
        let op = if round % 2 == 0 { MarkOp::Read } else { MarkOp::Unread };
        it.mark_up_to("ana", op, u64::MAX).await;
    }
    for sender in sending {
        sender.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let sent: BTreeSet<_> = it.everything("ana").await.iter().map(|notification| notification.seq).collect();
    for (cursor, seqs) in reader.await.unwrap() {
        assert_eq!(seqs, sent.range(..=cursor).copied().collect(), "read up to {cursor}");
    }
}

pub async fn the_observer_hears_in_order(factory: &dyn Factory) {
    let it = Arc::new(Fixture::open(factory).await);
    for sender in senders(&it, 16, 10) {
        sender.await.unwrap();
    }
    // `heard` looks at the order of each inbox.
    let heard = it.heard();
    let mine: Vec<_> = heard.iter().filter(|change| change.user_id == user("ana")).collect();
    assert_eq!(mine.first().unwrap().rev, 1);
    assert_eq!(mine.last().unwrap().rev, it.head("ana").await);
    for change in mine {
        assert_eq!(change.counts.total, change.rev, "with the numbers of its own moment");
    }
}

pub async fn marks_and_sends_keep_the_counts(factory: &dyn Factory) {
    let it = Arc::new(Fixture::open(factory).await);
    let marker = |op: MarkOp| {
        let it = Arc::clone(&it);
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..15 {
                let mark = Mark { op, target: MarkTarget::UpTo(u64::MAX), category: None };
                let done = it.mark_with("ana", mark).await;
                if done.changed > 0 {
                    taken.push(done.rev);
                }
            }
            taken
        })
    };
    let sending = senders(&it, 8, 15);
    let marking: Vec<_> =
        [MarkOp::Read, MarkOp::Unread, MarkOp::Archive, MarkOp::Unarchive, MarkOp::Delete].map(marker).into();
    let mut revs = Vec::new();
    for task in sending.into_iter().chain(marking) {
        revs.extend(task.await.unwrap());
    }
    revs.sort_unstable();
    assert_eq!(revs, (1..=revs.len() as u64).collect::<Vec<_>>());
    it.heard();
    it.audit("ana").await;
}
