//! Several documents as one, on a single server that has no transactions.
//!
//! What is to be written is first written down, whole: its commands, page by page, then a last page that says how many they
//! are. From then on it counts as written: it is carried out, and carried out again if that failed or the process ended in
//! between. Doing it twice changes nothing, see [`Writes`]. A list without its last page was never begun, and is thrown
//! away.
//!
//! This holds because there is one node ([`lease`](crate::lease)) with one writer at an inbox at a time
//! ([`turns`](crate::turns)). Readers bound what they read by the head, whose document is written after all that belongs to
//! its revision: a list that is half carried out is not visible.

use crate::documents::JOURNAL;
use crate::failure::Failure;
use crate::mongo::{Mongo, check};
use crate::query::Query;
use crate::schema::ID;
use crate::writes::Writes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::cstr;
use mongodb::bson::{RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::RwLock;

/// Whether lists may be left over.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Held shared by who writes a list, alone by who looks for those that were left.
    lists: RwLock<()>,
    /// A list was not carried out, or may not have been.
    is_left: AtomicBool,
}

#[derive(Serialize, Deserialize)]
struct Page {
    /// The list and the page, so that they lie in order.
    #[serde(rename = "_id")]
    id: String,
    list: ObjectId,
    /// The last one's is the number of those before it.
    page: i64,
    /// One command of MongoDB; the last page has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<RawDocumentBuf>,
}

impl Page {
    fn new(list: ObjectId, page: usize, command: Option<RawDocumentBuf>) -> Self {
        Self { id: format!("{list}/{page:08}"), list, page: page as i64, command }
    }
}

impl Mongo {
    /// Writes all of it or nothing, durably.
    pub(crate) async fn journal(&self, writes: Writes) -> Result<(), Failure> {
        let _shared = self.journal.lists.read().await;
        let list = ObjectId::new();
        let commands: Vec<RawDocumentBuf> = writes.into_commands()?.collect();
        let pages = self.db.collection::<Page>(JOURNAL);
        // Until all is done, whoever writes next looks here first.
        let left = Left(&self.journal.is_left);
        for (page, command) in commands.iter().enumerate() {
            pages.insert_one(Page::new(list, page, Some(command.clone()))).await?;
        }
        pages.insert_one(Page::new(list, commands.len(), None)).await?;
        self.carry_out(list, commands).await?;
        std::mem::forget(left);
        Ok(())
    }

    async fn carry_out(&self, list: ObjectId, commands: Vec<RawDocumentBuf>) -> Result<(), Failure> {
        let concern = RawDocumentBuf::try_from(&doc! { "w": "majority", "j": true })?;
        for mut command in commands {
            command.append(cstr!("writeConcern"), concern.clone());
            match check(&self.db.run_raw_command(command).await?) {
                // Done before.
                Ok(()) | Err(Failure::Conflict) => {}
                Err(failure) => return Err(failure),
            }
        }
        self.throw_away(list).await
    }

    async fn throw_away(&self, list: ObjectId) -> Result<(), Failure> {
        // '0' follows '/'.
        let pages = doc! { "_id": { "$gte": format!("{list}/"), "$lt": format!("{list}0") } };
        self.db.collection::<Page>(JOURNAL).delete_many(pages).await?;
        Ok(())
    }

    /// Carries out what was left, if there may be something. Every writer does this first.
    pub(crate) async fn recover(&self) -> Result<(), Failure> {
        if !self.has_transactions {
            self.lease.check()?;
        }
        if !self.journal.is_left.load(Ordering::Acquire) {
            return Ok(());
        }
        let _alone = self.journal.lists.write().await;
        if self.journal.is_left.load(Ordering::Acquire) {
            self.finish_journal().await?;
            self.journal.is_left.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Carries out what was written down and not finished. At the start, what the process before had begun.
    pub(crate) async fn finish_journal(&self) -> Result<(), Failure> {
        let all: Vec<Page> = Query::new(JOURNAL, ID, doc! {}).sort(doc! { "_id": 1 }).all(self).await?;
        let mut lists: BTreeMap<ObjectId, Vec<Page>> = BTreeMap::new();
        for page in all {
            lists.entry(page.list).or_default().push(page);
        }
        for (list, mut pages) in lists {
            let last = pages.pop();
            let is_whole = last.is_some_and(|last| last.command.is_none() && last.page == pages.len() as i64);
            if is_whole {
                tracing::info!(commands = pages.len(), "finishing what had been begun to write");
                self.carry_out(list, pages.into_iter().filter_map(|page| page.command).collect()).await?;
            } else {
                self.throw_away(list).await?;
            }
        }
        Ok(())
    }
}

/// Notes that a list may be left, unless it is forgotten; also where the wait for it was given up.
struct Left<'a>(&'a AtomicBool);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
