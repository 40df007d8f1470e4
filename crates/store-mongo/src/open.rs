use crate::documents::META;
use crate::failure::Failure;
use crate::lease::{Lease, Taken, keep};
use crate::mongo::{Mongo, Patience, read_concern, write_concern};
use crate::query::Query;
use crate::schema::{self, ID, VERSION};
use crate::turns::Turns;
use crate::writes::Writes;
use crate::{MongoStore, Observer, acknowledge, write_groups};
use mongodb::Client;
use mongodb::bson::{Document, Uuid, doc};
use mongodb::options::{ClientOptions, DatabaseOptions, ReadPreference, SelectionCriteria};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tidings_domain::{Clock, Epoch};

/// Where the URI names no database.
const DATABASE: &str = "tidings";

/// How long the driver looks for a primary before a call is told so; calls are tried again.
const SELECTION: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);

/// Connections to one server, where the URI does not say.
const POOL: u32 = 64;

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether other nodes may be at the same database: it must then have transactions.
    pub is_cluster: bool,
    /// How long a call is tried again before it is given up: longer than an election takes.
    pub patience: Duration,
    /// At a server without transactions: how long a node that shows no life keeps others out.
    pub lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { is_cluster: false, patience: Duration::from_secs(10), lease: Duration::from_secs(6) }
    }
}

/// Why a store was not opened; one sentence for the operator. None names a password.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URI is none.
    #[error("MONGODB_URI is no address of a MongoDB: {0}")]
    Uri(String),
    /// The server does not answer, or not as it should.
    #[error("the MongoDB at {hosts} cannot be used: {reason}")]
    Unusable {
        /// Where.
        hosts: String,
        /// Why.
        reason: String,
    },
    /// A newer program has written there.
    #[error(
        "the database was written by a newer version of this program (layout {found}, this one knows {VERSION}); use that version"
    )]
    Newer {
        /// Its layout.
        found: i32,
    },
    /// Several nodes at a server without transactions.
    #[error(
        "the MongoDB at {hosts} is a single server without transactions, at which several nodes would not be safe together; \
         start it as a replica set (mongod --replSet) or unset REDIS_URL"
    )]
    NotForSeveral {
        /// Where.
        hosts: String,
    },
    /// Another node is there.
    #[error(
        "another node is at the MongoDB at {hosts}, which is a single server without transactions, at which two nodes would \
         not be safe together; stop that node, or start MongoDB as a replica set (mongod --replSet)"
    )]
    Occupied {
        /// Where.
        hosts: String,
    },
}

#[derive(Deserialize)]
struct EpochDocument {
    epoch: String,
}

#[derive(Deserialize)]
struct Layout {
    version: i32,
}

pub(crate) async fn open(
    uri: &str,
    options: Options,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<MongoStore, OpenError> {
    let mut client = ClientOptions::parse(uri).await.map_err(|error| OpenError::Uri(reason(uri, &error)))?;
    let hosts: Vec<String> = client.hosts.iter().map(ToString::to_string).collect();
    let hosts = hosts.join(",");
    let unusable = |failure: Failure| OpenError::Unusable {
        hosts: hosts.clone(),
        reason: failure
            .into_store_error()
            .to_string()
            .trim_start_matches("the store is unavailable: ")
            .to_owned(),
    };
    client.app_name.get_or_insert_with(|| "tidings".to_owned());
    client.server_selection_timeout.get_or_insert(SELECTION);
    client.connect_timeout.get_or_insert(CONNECT);
    client.max_pool_size.get_or_insert(POOL);
    let name = client.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
    let client = Client::with_options(client).map_err(|error| unusable(error.into()))?;
    let admin = client.database("admin");
    let hello = admin.run_command(doc! { "hello": 1 });
    let hello = Patience::new(options.patience).within(async { Ok(hello.await?) }).await.map_err(unusable)?;
    let has_transactions =
        hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if options.is_cluster && !has_transactions {
        return Err(OpenError::NotForSeveral { hosts });
    }
    let concerns = DatabaseOptions::builder()
        .read_concern(read_concern())
        .write_concern(write_concern())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    let db = client.database_with_options(&name, concerns);
    let mongo = Arc::new(Mongo {
        client,
        db,
        has_transactions,
        heads: Default::default(),
        confirmed: Default::default(),
        journal: Default::default(),
        lease: Lease::new(options.lease),
        patience: options.patience,
        clock,
        observer,
        #[cfg(test)]
        asked: Default::default(),
    });
    check_layout(&mongo).await.map_err(unusable)?.map_err(|found| OpenError::Newer { found })?;
    if !has_transactions {
        if let Err(Taken) = mongo.take_lease().await.map_err(unusable)? {
            return Err(OpenError::Occupied { hosts });
        }
        tokio::spawn(keep(Arc::downgrade(&mongo)));
    }
    schema::create_indexes(&mongo.db).await.map_err(unusable)?;
    if !has_transactions {
        mongo.finish_journal().await.map_err(unusable)?;
    }
    let epoch = epoch(&mongo).await.map_err(unusable)?;
    let turns = Arc::new(Turns::default());
    let acks = acknowledge::start(mongo.clone());
    let groups = tokio::spawn(write_groups(mongo.clone(), turns.clone()));
    Ok(MongoStore { epoch, mongo, turns, acks, groups })
}

/// What the driver says of a URI, without the URI.
fn reason(uri: &str, error: &mongodb::error::Error) -> String {
    let text = match error.kind.as_ref() {
        mongodb::error::ErrorKind::InvalidArgument { message, .. } => message.clone(),
        kind => kind.to_string(),
    };
    text.replace(uri, "(the address)")
}

/// Notes the layout in a new database; the version found where it is newer than this program.
async fn check_layout(mongo: &Mongo) -> Result<Result<(), i32>, Failure> {
    let found: Option<Layout> = Query::new(META, ID, doc! { "_id": "layout" }).one(mongo).await?;
    match found {
        Some(found) if found.version > VERSION => return Ok(Err(found.version)),
        Some(_) => {}
        None => set_once(mongo, "layout", doc! { "version": VERSION }).await?,
    }
    Ok(Ok(()))
}

/// The database's epoch, made when it has none.
async fn epoch(mongo: &Mongo) -> Result<Epoch, Failure> {
    let find = || Query::new(META, ID, doc! { "_id": "epoch" }).one::<EpochDocument>(mongo);
    let found = match find().await? {
        Some(found) => Some(found),
        None => {
            set_once(mongo, "epoch", doc! { "epoch": Uuid::new().to_string() }).await?;
            find().await?
        }
    };
    let found = found.ok_or_else(|| Failure::Passing("the epoch cannot be read yet".to_owned()))?;
    Epoch::new(&found.epoch).map_err(|_| Failure::Damaged("the epoch in the database is none".to_owned()))
}

/// Of several nodes that start at once, one sets it.
async fn set_once(mongo: &Mongo, id: &str, fields: Document) -> Result<(), Failure> {
    let mut writes = Writes::default();
    writes.update(META, doc! { "q": { "_id": id }, "u": { "$setOnInsert": fields }, "upsert": true });
    match mongo.run_all(writes).await {
        Ok(_) | Err(Failure::Conflict) => Ok(()),
        Err(failure) => Err(failure),
    }
}
