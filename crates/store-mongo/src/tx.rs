use crate::failure::Failure;
use crate::mongo::{Mongo, check, write_concern};
use crate::query::{Found, Query};
use crate::writes::Writes;
use mongodb::ClientSession;

/// One attempt of an operation: what it reads and what it writes is of one moment.
///
/// Where the server has transactions, this is one. It reads the primary's newest state and is committed to a majority, so
/// what it saw is committed too. On a single server without them, this node is the only writer and each inbox has one
/// writer at a time, so what is read stays as it is; what is written goes through the journal.
pub(crate) struct Tx<'a> {
    pub mongo: &'a Mongo,
    session: Option<ClientSession>,
}

impl<'a> Tx<'a> {
    pub(crate) async fn begin(mongo: &'a Mongo) -> Result<Self, Failure> {
        let session = match mongo.has_transactions {
            true => {
                let mut session = mongo.client.start_session().await?;
                // Nothing is sent before it is needed.
                session.start_transaction().write_concern(write_concern()).await?;
                Some(session)
            }
            false => None,
        };
        Ok(Self { mongo, session })
    }

    /// All that a query finds.
    pub(crate) async fn all<T: Found>(&mut self, query: Query) -> Result<Vec<T>, Failure> {
        match &mut self.session {
            Some(session) => query.all_within(self.mongo, session).await,
            None => query.all(self.mongo).await,
        }
    }

    /// The first that a query finds.
    pub(crate) async fn one<T: Found>(&mut self, query: Query) -> Result<Option<T>, Failure> {
        Ok(self.all(query.limit(1)).await?.pop())
    }

    /// Writes all of it or nothing, durably.
    pub(crate) async fn commit(self, writes: Writes) -> Result<(), Failure> {
        if writes.is_empty() {
            self.abandon().await;
            return Ok(());
        }
        match self.session {
            Some(mut session) => {
                for command in writes.into_commands()? {
                    self.mongo.note_statements(&command);
                    let reply = self.mongo.db.run_raw_command(command).session(&mut session).await;
                    if let Err(failure) = reply.map_err(Failure::from).and_then(|reply| check(&reply)) {
                        // It ends by itself, if this does not get through.
                        let _ = session.abort_transaction().await;
                        return Err(failure);
                    }
                }
                Ok(session.commit_transaction().await?)
            }
            None => self.mongo.journal(writes).await,
        }
    }

    /// Nothing is written.
    pub(crate) async fn abandon(self) {
        if let Some(mut session) = self.session {
            // It ends by itself, if this does not get through.
            let _ = session.abort_transaction().await;
        }
    }
}
