use crate::acknowledge::Confirmed;
use crate::documents::{Head, HeadDocument, INBOXES, bound};
use crate::failure::Failure;
use crate::heads::Heads;
use crate::journal::Journal;
use crate::lease::Lease;
use crate::query::Query;
use crate::schema::{ID, LOG};
use crate::writes::Writes;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{ReadConcern, WriteConcern};
use mongodb::{Client, Database};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidings_domain::{Change, Clock, Timestamp, UserId};
use tidings_store::{Observer, Recent, StoreError, Visitors};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a check of readiness waits.
const READY: Duration = Duration::from_secs(1);

/// The pauses between two attempts, growing, with chance in them so that those who collided do not do so again.
const PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The database, and what a node knows of it.
pub(crate) struct Mongo {
    pub client: Client,
    /// Reads what a majority has, writes to a majority's journals.
    pub db: Database,
    /// Where it is, for people.
    pub hosts: String,
    /// Whether the server has transactions: a replica set or a sharded cluster. Else it is a single server, and this node
    /// the only one.
    pub has_transactions: bool,
    /// Whether it is several, so that what concerns several inboxes concerns several servers.
    pub is_sharded: bool,
    pub heads: Heads,
    pub confirmed: Confirmed,
    pub journal: Journal,
    pub lease: Lease,
    /// The inboxes of which the upkeep has said that they are damaged.
    pub left_out: Mutex<Recent<String, ()>>,
    /// Who attached to inboxes that have nothing.
    pub visitors: Visitors,
    pub patience: Duration,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
    #[cfg(test)]
    pub asked: std::sync::Mutex<Vec<Document>>,
}

/// Reads that a promise rests on see what a majority has: it is never taken back.
pub(crate) fn read_concern() -> ReadConcern {
    ReadConcern::majority()
}

/// Durable: a majority has it in its journals.
pub(crate) fn write_concern() -> WriteConcern {
    WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build()
}

impl Mongo {
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.patience)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where an inbox stands.
    pub(crate) async fn head(&self, user: &UserId) -> Result<Head, Failure> {
        // What this node knows already bounds the search: the log is not walked.
        let known = self.heads.get(user).map_or(1, |head| head.rev.max(1));
        let mut found = self.newest(user, known).await?;
        if found.is_none() && known > 1 {
            // The database was emptied or restored under us.
            self.heads.forget(user);
            found = self.newest(user, 1).await?;
        }
        let head = found.as_ref().map(HeadDocument::head).transpose()?.unwrap_or_default();
        self.heads.learn(user, head);
        if head.rev > 0 && self.visitors.has_any(user) {
            // Another node has written to it.
            crate::visit::settle(self, std::slice::from_ref(user)).await?;
        }
        Ok(head)
    }

    async fn newest(&self, user: &UserId, from: u64) -> Result<Option<HeadDocument>, Failure> {
        let filter = doc! { "user_id": user.as_str(), "key": { "$gte": bound(from) } };
        Query::new(INBOXES, LOG, filter)
            .fields(doc! { "key": 1, "after": 1 })
            .sort(doc! { "key": -1 })
            .one(self)
            .await
    }

    /// Where an inbox stands as far as this node knows; asks when it knows nothing. For writers, who find out when it is
    /// not so any more.
    pub(crate) async fn likely_head(&self, user: &UserId) -> Result<Head, Failure> {
        match self.heads.get(user) {
            Some(head) => Ok(head),
            None => self.head(user).await,
        }
    }

    /// Whether that document is there.
    pub(crate) async fn is_written(&self, witness: Document) -> Result<bool, Failure> {
        let query = Query::new(INBOXES, ID, witness).fields(doc! { "_id": 1 });
        Ok(query.one::<Document>(self).await?.is_some())
    }

    /// Writes down what is asked, for the test that lets the server explain it.
    pub(crate) fn note(&self, _command: impl FnOnce() -> Document) {
        #[cfg(test)]
        self.asked.lock().unwrap().push(_command());
    }

    /// The same for the statements of a command.
    pub(crate) fn note_statements(&self, _command: &RawDocument) {
        #[cfg(test)]
        {
            let command = Document::try_from(_command).unwrap();
            for (verb, list) in [("update", "updates"), ("delete", "deletes")] {
                for statement in command.get_array(list).into_iter().flatten() {
                    self.note(|| doc! { verb: command.get_str(verb).unwrap(), list: [statement.clone()] });
                }
            }
        }
    }

    /// Writes command by command, outside of any transaction. Returns whether a document was made that an update did not
    /// find.
    pub(crate) async fn run_all(&self, writes: Writes) -> Result<bool, Failure> {
        let concern = RawDocumentBuf::try_from(&doc! { "w": "majority", "j": true })?;
        let mut made = false;
        for mut command in writes.into_commands()? {
            self.note_statements(&command);
            command.append(cstr!("writeConcern"), concern.clone());
            let reply = self.db.run_raw_command(command).await?;
            check(&reply)?;
            made |= reply.get_array("upserted").is_ok_and(|made| !made.is_empty());
        }
        Ok(made)
    }

    /// Whether there is a primary that takes writes.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        if !self.has_transactions {
            self.lease.check()?;
        }
        let admin = self.client.database("admin");
        let hello = admin.run_command(doc! { "hello": 1 }).into_future();
        let hello = match timeout(READY, hello).await {
            Ok(hello) => hello?,
            Err(_) => return Err(Failure::Passing("MongoDB does not answer".to_owned())),
        };
        match hello.get_bool("isWritablePrimary") {
            Ok(true) => Ok(()),
            _ => Err(Failure::Passing("MongoDB has no primary now".to_owned())),
        }
    }

    /// Tries until it goes, or for as long as a caller may have to wait.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let mut patience = self.patience();
        loop {
            match patience.within(attempt()).await {
                Ok(value) => return Ok(value),
                Err(failure) => patience.pause(failure).await?,
            }
        }
    }

    /// Waits for an answer of those who write in groups, as long as a caller may have to wait.
    pub(crate) async fn answer<T>(
        &self,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let unavailable = |text: &str| Err(StoreError::Unavailable(text.to_owned()));
        match timeout(self.patience, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| unavailable("the store is closed")),
            Err(_) => unavailable("MongoDB did not answer in time"),
        }
    }

    /// It is written: what devices must learn goes out, in order.
    pub(crate) fn announce(&self, changes: Vec<Change>) {
        changes.into_iter().for_each(|change| self.observer.committed(change));
    }
}

/// What the statements of a command say.
pub(crate) fn check(reply: &Document) -> Result<(), Failure> {
    if let Some(first) = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()) {
        let error = first.as_document();
        let code = error.and_then(|error| error.get_i32("code").ok()).unwrap_or(0);
        let text = error.and_then(|error| error.get_str("errmsg").ok()).unwrap_or("a write failed");
        return Err(Failure::of_code(code, format!("MongoDB says: {text} ({code})")));
    }
    match reply.get_document("writeConcernError") {
        Ok(error) => {
            let text = error.get_str("errmsg").unwrap_or("no majority");
            Err(Failure::Passing(format!("MongoDB has written it, but not to a majority: {text}")))
        }
        Err(_) => Ok(()),
    }
}

/// How long a call has been tried, and how soon again.
pub(crate) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: PAUSE }
    }

    /// One attempt, as long as there is time.
    pub(crate) async fn within<T>(
        &self,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match timeout_at(self.until, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Passing("MongoDB did not answer in time".to_owned())),
        }
    }

    /// Waits before the next attempt; an error when there is none, or it would not help.
    pub(crate) async fn pause(&mut self, failure: Failure) -> Result<(), StoreError> {
        if !matches!(failure, Failure::Conflict | Failure::Passing(_)) {
            return Err(failure.into_store_error());
        }
        let chance = f64::from(u32::from(mongodb::bson::Uuid::new().bytes()[0])) / 255.0;
        let pause = self.pause.mul_f64(0.5 + chance / 2.0);
        if Instant::now() + pause >= self.until {
            return Err(failure.into_store_error());
        }
        sleep(pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
