use crate::documents::{IDEMPOTENCY, INBOXES, KeyDocument, ReceiptDocument, date, time};
use crate::draft::{Draft, Found};
use crate::expire::expire;
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::operation::{Operation, Plan};
use crate::query::Query;
use crate::schema::{COLLAPSIBLE, ID};
use crate::tx::Tx;
use crate::writes::Writes;
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, doc, serialize_to_raw_document_buf};
use std::collections::HashMap;
use tidings_domain::{MarkOp, Timestamp, UserId};
use tidings_store::{Appended, IDEMPOTENCY_TTL, Idempotency, Outgoing, Receipt, StoreError};

/// How many inboxes are looked up at once.
const LOOKUPS: usize = 16;

/// Stores all or none, each as the newest of its inbox.
pub(crate) struct Append {
    pub outgoing: Vec<Outgoing>,
    pub idempotency: Option<Idempotency>,
}

#[async_trait]
impl Operation for Append {
    type Answer = Appended;

    fn users(&self) -> Vec<UserId> {
        self.outgoing.iter().map(|outgoing| outgoing.user_id.clone()).collect()
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<Appended>, Failure> {
        let now = tx.mongo.now();
        // Before anything is read by `tx`: it then sees at least this.
        let mut drafts = self.drafts(tx.mongo, now).await?;
        let mut more = Writes::default();
        if let Some(idempotency) = &self.idempotency {
            match tx.one(remembered(&idempotency.key)).await? {
                Some(first) if is_young(&first, now) => {
                    return Ok(Plan::nothing(replay(first, idempotency)?));
                }
                // Past its time: only who finds it as it was found here takes its place.
                Some(old) => {
                    more.delete(
                        IDEMPOTENCY,
                        ID.for_statement(
                            doc! { "q": { "_id": old.key, "created_at": old.created_at }, "limit": 1 },
                        ),
                    );
                }
                None => {}
            }
        }
        let (mut receipts, mut changes) = (Vec::with_capacity(self.outgoing.len()), Vec::new());
        for outgoing in &self.outgoing {
            let Some(draft) = drafts.get_mut(&outgoing.user_id) else { continue };
            expire(tx, draft, now).await?;
            if let Some(key) = outgoing.collapse_key.as_deref() {
                collapse(tx, draft, key).await?;
            }
            receipts.push(draft.send(outgoing));
            changes.extend(draft.take_changes());
        }
        if let Some(idempotency) = &self.idempotency {
            more.insert(IDEMPOTENCY, serialize_to_raw_document_buf(&remember(idempotency, &receipts, now))?);
        }
        Ok(Plan { drafts: drafts.into_values().collect(), changes, more, answer: Appended::Stored(receipts) })
    }
}

impl Append {
    /// Every inbox, from where it stands.
    async fn drafts(&self, mongo: &Mongo, now: Timestamp) -> Result<HashMap<UserId, Draft>, Failure> {
        let mut users = self.users();
        users.sort_unstable();
        users.dedup();
        stream::iter(users)
            .map(|user| async move {
                let head = mongo.likely_head(&user).await?;
                Ok((user.clone(), Draft::new(user, head, now)))
            })
            .buffer_unordered(LOOKUPS)
            .try_collect()
            .await
    }
}

/// Deletes what the newcomer replaces.
async fn collapse(tx: &mut Tx<'_>, draft: &mut Draft, key: &str) -> Result<(), Failure> {
    let filter = doc! {
        "user_id": draft.user_id.as_str(), "collapse_key": { "$eq": key, "$gt": "" },
        "deleted_at": null, "archived_at": null, "read_at": null,
    };
    let mut replaced: Vec<Found> =
        tx.all(Query::new(INBOXES, COLLAPSIBLE, filter).fields(Found::fields())).await?;
    draft.leave_out_deleted(&mut replaced);
    replaced
        .extend(draft.find_new(|item| item.collapse_key.as_deref() == Some(key) && item.read_at.is_none()));
    if !replaced.is_empty() {
        let ids = Draft::ids(&replaced);
        draft.change(MarkOp::Delete, &replaced, ids, None);
    }
    Ok(())
}

fn remembered(key: &str) -> Query {
    Query::new(IDEMPOTENCY, ID, doc! { "_id": key })
}

fn is_young(first: &KeyDocument, now: Timestamp) -> bool {
    time(first.created_at) > now.before(IDEMPOTENCY_TTL)
}

/// The first answer under a key, if it is known and young enough.
pub(crate) async fn first_answer(
    mongo: &Mongo,
    idempotency: &Idempotency,
) -> Result<Option<Appended>, Failure> {
    let first: Option<KeyDocument> = remembered(&idempotency.key).one(mongo).await?;
    let now = mongo.now();
    first.filter(|first| is_young(first, now)).map(|first| replay(first, idempotency)).transpose()
}

/// The first answer under this key.
fn replay(first: KeyDocument, idempotency: &Idempotency) -> Result<Appended, Failure> {
    if first.fingerprint.bytes != idempotency.fingerprint {
        return Err(StoreError::IdempotencyMismatch.into());
    }
    let receipts = first.receipts.into_iter().map(ReceiptDocument::into_receipt).collect::<Result<_, _>>()?;
    Ok(Appended::Replayed { receipts, note: first.note.bytes })
}

fn remember(idempotency: &Idempotency, receipts: &[Receipt], now: Timestamp) -> KeyDocument {
    let binary = |bytes: &[u8]| Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
    KeyDocument {
        key: idempotency.key.clone(),
        fingerprint: binary(&idempotency.fingerprint),
        receipts: receipts.iter().map(ReceiptDocument::of).collect(),
        note: binary(&idempotency.note),
        created_at: date(now),
    }
}
