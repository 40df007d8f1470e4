//! Simple sends, written together.
//!
//! A simple send is the insertion of one document, which MongoDB does whole or not at all, so many of them need no
//! transaction, only one request. Sends to different inboxes do not depend on each other. Those to one inbox do: the
//! second takes the revision after the first, with the numbers after it, so it must not be stored if the first was not.

use crate::documents::{Head, INBOXES, Item};
use crate::draft::Draft;
use crate::expire::Expire;
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::operation::perform;
use crate::query::Query;
use crate::schema::ID;
use crate::turns::{Group, Turn, Waiting};
use futures_util::{StreamExt as _, stream};
use mongodb::bson::{RawDocumentBuf, doc, serialize_to_raw_document_buf};
use mongodb::error::ErrorKind;
use mongodb::options::InsertManyOptions;
use std::collections::{HashMap, HashSet};
use tidings_domain::{NotificationId, Timestamp, UserId};
use tidings_store::{Outgoing, Receipt, StoreError};

/// How many inboxes are looked up at once.
const LOOKUPS: usize = 16;

/// Whether a send is the insertion of one document.
pub(crate) fn is_simple(outgoing: &Outgoing, now: Timestamp) -> bool {
    outgoing.collapse_key.is_none() && outgoing.expires_at.is_none_or(|at| at > now)
}

/// One inbox's sends, in order.
type Run = (UserId, Vec<Waiting>);

/// Writes them all and answers each.
pub(crate) async fn send(mongo: &Mongo, group: Group) {
    let Group { turn, sends } = group;
    let mut left: Vec<Run> = Vec::new();
    let mut places: HashMap<UserId, usize> = HashMap::new();
    // Who does not wait any more is told nothing, and may try again.
    for send in sends.into_iter().filter(|send| !send.answer.is_closed()) {
        let user = send.outgoing.user_id.clone();
        let place = *places.entry(user.clone()).or_insert_with(|| {
            left.push((user, Vec::new()));
            left.len() - 1
        });
        left[place].1.push(send);
    }
    let mut patience = mongo.patience();
    let mut is_uncertain = false;
    let mut begun = Vec::new();
    while !left.is_empty() {
        let failure =
            match patience.within(attempt(mongo, &turn, &mut left, &mut is_uncertain, &mut begun)).await {
                Ok(()) => Failure::Conflict,
                Err(failure) => failure,
            };
        left.iter().for_each(|(user, _)| mongo.heads.forget(user));
        if left.is_empty() {
            break;
        }
        if let Err(error) = patience.pause(failure).await {
            for send in left.drain(..).flat_map(|(_, sends)| sends) {
                let _ = send.answer.send(Err(error.clone()));
            }
        }
    }
    // Whoever closes the store waits for the turn.
    crate::visit::settle_begun(mongo, &begun).await;
    drop(turn);
}

/// One attempt at all that is left. What was written is answered and is not left any more.
async fn attempt(
    mongo: &Mongo,
    turn: &Turn,
    left: &mut Vec<Run>,
    is_uncertain: &mut bool,
    begun: &mut Vec<UserId>,
) -> Result<(), Failure> {
    mongo.recover().await?;
    if *is_uncertain {
        settle_written(mongo, left).await?;
    }
    let now = mongo.now();
    let lookups: Vec<_> = left.iter().map(|(user, _)| head_of(mongo, turn, user.clone(), now)).collect();
    let looked_up: Vec<_> = stream::iter(lookups).buffer_unordered(LOOKUPS).collect().await;
    let mut heads: HashMap<UserId, Head> = HashMap::new();
    for (user, head) in looked_up {
        match head {
            Ok(head) => drop(heads.insert(user, head)),
            Err(failure) if failure.is_of_one_inbox() => refuse(left, &user, &failure.into_store_error()),
            Err(failure) => return Err(failure),
        }
    }

    // Those that are alone in their inbox fail or not each for itself; of the others nothing is stored after one failed.
    let (mut alone, mut rows) = (Vec::new(), Vec::new());
    let mut drafts: HashMap<UserId, Vec<Draft>> = HashMap::new();
    for (user, sends) in left.iter() {
        let Some(head) = heads.get(user) else { continue };
        let mut head = *head;
        for (place, send) in sends.iter().enumerate() {
            let mut draft = Draft::new(user.clone(), head, now);
            draft.send(&send.outgoing);
            head = draft.head;
            let Some(item) = draft.items().first() else { continue };
            let document = (user.clone(), place, serialize_to_raw_document_buf(item)?);
            if sends.len() == 1 {
                alone.push(document)
            } else {
                rows.push(document)
            }
            drafts.entry(user.clone()).or_default().push(draft);
        }
    }
    let (alone, rows) = futures_util::join!(insert(mongo, alone, false), insert(mongo, rows, true));
    let mut stored: HashMap<UserId, usize> = HashMap::new();
    let mut result = Ok(());
    for inserted in [alone, rows] {
        for (user, place) in inserted.stored {
            // In the order of their places: a row is stored from its front.
            debug_assert_eq!(stored.get(&user).copied().unwrap_or(0), place);
            *stored.entry(user).or_default() += 1;
        }
        if let Some(failure) = inserted.failure {
            *is_uncertain |= matches!(failure, Failure::Passing(_));
            result = Err(failure);
        }
    }
    for (user, sends) in left.iter_mut() {
        let Some(count) = stored.get(user) else { continue };
        let of_user = drafts.remove(user).unwrap_or_default();
        for (send, mut draft) in sends.drain(..count).zip(of_user) {
            let receipt = Receipt { user_id: user.clone(), id: send.outgoing.id, seq: draft.head.rev };
            mongo.heads.learn(user, draft.head);
            mongo.announce(draft.take_changes());
            if draft.is_first() {
                begun.push(user.clone());
            }
            let _ = send.answer.send(Ok(receipt));
        }
    }
    left.retain(|(_, sends)| !sends.is_empty());
    result
}

/// What is left to one inbox cannot be written, whatever becomes of the others.
fn refuse(left: &mut Vec<Run>, user: &UserId, error: &StoreError) {
    for (_, sends) in left.extract_if(.., |(of, _)| of == user) {
        for send in sends {
            let _ = send.answer.send(Err(error.clone()));
        }
    }
}

/// Where an inbox stands, with nothing in it that is due.
async fn head_of(
    mongo: &Mongo,
    turn: &Turn,
    user: UserId,
    now: Timestamp,
) -> (UserId, Result<Head, Failure>) {
    let head = async {
        let head = mongo.likely_head(&user).await?;
        if !head.is_due(now) {
            return Ok(head);
        }
        perform(mongo, &Expire { user: user.clone() }, turn).await?;
        mongo.likely_head(&user).await
    };
    let head = head.await;
    (user, head)
}

/// What came of an insertion.
struct Inserted {
    stored: Vec<(UserId, usize)>,
    failure: Option<Failure>,
}

async fn insert(mongo: &Mongo, documents: Vec<(UserId, usize, RawDocumentBuf)>, ordered: bool) -> Inserted {
    if documents.is_empty() {
        return Inserted { stored: Vec::new(), failure: None };
    }
    let (mut places, mut raw) = (Vec::with_capacity(documents.len()), Vec::with_capacity(documents.len()));
    for (user, place, document) in documents {
        places.push((user, place));
        raw.push(document);
    }
    let options = InsertManyOptions::builder().ordered(ordered).build();
    let done = mongo.db.collection::<RawDocumentBuf>(INBOXES).insert_many(raw).with_options(options).await;
    let Err(error) = done else { return Inserted { stored: places, failure: None } };
    let ErrorKind::InsertMany(errors) = error.kind.as_ref() else {
        return Inserted { stored: Vec::new(), failure: Some(error.into()) };
    };
    if errors.write_concern_error.is_some() {
        let text = "MongoDB has written it, but not to a majority yet".to_owned();
        return Inserted { stored: Vec::new(), failure: Some(Failure::Passing(text)) };
    }
    let failed = errors.write_errors.as_deref().unwrap_or_default();
    let first = failed.iter().map(|error| error.index).min().unwrap_or(0);
    let indexes: HashSet<usize> = failed.iter().map(|error| error.index).collect();
    let stored = places
        .into_iter()
        .enumerate()
        .filter(|(index, _)| if ordered { *index < first } else { !indexes.contains(index) })
        .map(|(_, place)| place)
        .collect();
    // The worst of them decides what is done next.
    let failures =
        failed.iter().map(|error| Failure::of_code(error.code, format!("MongoDB says: {}", error.message)));
    let failure = failures.max_by_key(|failure| !matches!(failure, Failure::Conflict));
    Inserted { stored, failure }
}

/// Answers those of which it was not known whether they were stored, and were.
async fn settle_written(mongo: &Mongo, left: &mut Vec<Run>) -> Result<(), Failure> {
    let ids: Vec<_> = left
        .iter()
        .flat_map(|(_, sends)| sends)
        .map(|send| crate::documents::uuid(send.outgoing.id))
        .collect();
    let users: Vec<_> = left.iter().map(|(user, _)| user.as_str()).collect();
    let query = Query::new(INBOXES, ID, doc! { "_id": { "$in": ids }, "user_id": { "$in": users } });
    let found: Vec<Item> = query.all(mongo).await?;
    let mut stored: HashMap<NotificationId, Item> =
        found.into_iter().map(|item| (crate::documents::id(item.id), item)).collect();
    for (user, sends) in left.iter_mut() {
        let mut unsettled = Vec::new();
        for send in sends.drain(..) {
            let Some(item) = stored.remove(&send.outgoing.id) else {
                unsettled.push(send);
                continue;
            };
            let receipt = Receipt {
                user_id: user.clone(),
                id: send.outgoing.id,
                seq: crate::documents::number(item.key),
            };
            match item.into_change(user) {
                Ok(change) => mongo.announce(vec![change]),
                Err(failure) => tracing::error!(?failure, "a stored notification cannot be read"),
            }
            let _ = send.answer.send(Ok(receipt));
        }
        *sends = unsettled;
    }
    left.retain(|(_, sends)| !sends.is_empty());
    Ok(())
}
