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
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thiserror::Error;
use tidings_domain::{Clock, Epoch};
use tidings_store::Recent;

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
    /// It holds nothing of ours.
    #[error("the database {database} at {hosts} holds no store of Tidings")]
    Missing {
        /// Which one.
        database: String,
        /// Where.
        hosts: String,
    },
    /// An import was begun there and has not ended.
    #[error(
        "the database {database} at {hosts} holds an import that has not ended; let it end, or run the import again if it was \
         cut off"
    )]
    Unfinished {
        /// Which one.
        database: String,
        /// Where.
        hosts: String,
    },
    /// An import goes into a new store only.
    #[error(
        "the database {database} at {hosts} holds a store already, in its collections tidings_*; an import needs a database \
         without one, which no node has served"
    )]
    Exists {
        /// Which one.
        database: String,
        /// Where.
        hosts: String,
    },
    /// The original system was not there.
    #[error(
        "the database {database} at {hosts} has no documents in a collection `notifications`, as the original's has"
    )]
    NoOriginal {
        /// Which one.
        database: String,
        /// Where.
        hosts: String,
    },
    /// Two imports at once.
    #[error("another import into the database {database} at {hosts} is under way")]
    Importing {
        /// Which one.
        database: String,
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

/// The document of [`META`] that says which life of the store this is.
pub(crate) const EPOCH: &str = "epoch";

/// What lies there. It is one document with the mark of an import, so that of a node that starts and an import that begins
/// at once one comes first and the other sees it.
#[derive(Deserialize)]
struct EpochDocument {
    epoch: Option<String>,
}

#[derive(Deserialize)]
struct Layout {
    version: i32,
}

impl OpenError {
    /// The server does not do what is asked of it.
    pub(crate) fn unusable(mongo: &Mongo) -> impl Fn(Failure) -> Self + use<> {
        unusable(mongo.hosts.clone())
    }
}

/// The same, of a server that is known by its name alone.
pub(crate) fn unusable(hosts: String) -> impl Fn(Failure) -> OpenError + use<> {
    move |failure| {
        let reason = failure.into_store_error().to_string();
        let reason = reason.trim_start_matches("the store is unavailable: ").to_owned();
        OpenError::Unusable { hosts: hosts.clone(), reason }
    }
}

pub(crate) async fn open(
    uri: &str,
    options: Options,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<MongoStore, OpenError> {
    let mongo = Arc::new(connect(uri, options, clock, observer).await?);
    let unusable = OpenError::unusable(&mongo);
    if options.is_cluster && !mongo.has_transactions {
        return Err(OpenError::NotForSeveral { hosts: mongo.hosts.clone() });
    }
    if layout(&mongo).await?.is_none() {
        set_once(&mongo, "layout", doc! { "version": VERSION }).await.map_err(&unusable)?;
    }
    if !mongo.has_transactions {
        occupy(&mongo).await?;
    }
    // An import that has not ended is seen before anything else is made there.
    let found = epoch(&mongo).await?;
    schema::create_indexes(&mongo.db).await.map_err(&unusable)?;
    if !mongo.has_transactions {
        mongo.finish_journal().await.map_err(&unusable)?;
    }
    let epoch = match found {
        Some(epoch) => epoch,
        None => {
            let new = doc! { "epoch": Uuid::new().to_string() };
            set_once(&mongo, EPOCH, new).await.map_err(&unusable)?;
            let unread = || Failure::Passing("the epoch cannot be read yet".to_owned());
            epoch(&mongo).await?.ok_or_else(|| unusable(unread()))?
        }
    };
    let turns = Arc::new(Turns::default());
    let acks = acknowledge::start(mongo.clone());
    let groups = tokio::spawn(write_groups(mongo.clone(), turns.clone()));
    Ok(MongoStore { epoch, mongo, turns, acks, groups })
}

/// Reaches the server, and finds out what it can do.
pub(crate) async fn connect(
    uri: &str,
    options: Options,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<Mongo, OpenError> {
    let Server { client, name, hosts } = reach(uri, DATABASE).await?;
    let admin = client.database("admin");
    let hello = admin.run_command(doc! { "hello": 1 });
    let hello = Patience::new(options.patience).within(async { Ok(hello.await?) }).await;
    let hello = hello.map_err(unusable(hosts.clone()))?;
    let is_sharded = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    let has_transactions = is_sharded || hello.contains_key("setName");
    let concerns = DatabaseOptions::builder()
        .read_concern(read_concern())
        .write_concern(write_concern())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    let db = client.database_with_options(&name, concerns);
    Ok(Mongo {
        client,
        db,
        hosts,
        has_transactions,
        is_sharded,
        heads: Default::default(),
        confirmed: Default::default(),
        journal: Default::default(),
        lease: Lease::new(options.lease),
        visitors: Default::default(),
        left_out: Mutex::new(Recent::new(1_000)),
        patience: options.patience,
        clock,
        observer,
        #[cfg(test)]
        asked: Default::default(),
    })
}

/// A server that an address names.
pub(crate) struct Server {
    pub client: Client,
    /// The address's database.
    pub name: String,
    /// Where, for people.
    pub hosts: String,
}

/// Makes ready to talk to the server at `uri`; `database` is the one that is meant when the address names none.
pub(crate) async fn reach(uri: &str, database: &str) -> Result<Server, OpenError> {
    let mut client = ClientOptions::parse(uri).await.map_err(|error| OpenError::Uri(reason(uri, &error)))?;
    let hosts: Vec<String> = client.hosts.iter().map(ToString::to_string).collect();
    let hosts = hosts.join(",");
    client.app_name.get_or_insert_with(|| "tidings".to_owned());
    client.server_selection_timeout.get_or_insert(SELECTION);
    client.connect_timeout.get_or_insert(CONNECT);
    client.max_pool_size.get_or_insert(POOL);
    let name = client.default_database.clone().unwrap_or_else(|| database.to_owned());
    let client = Client::with_options(client).map_err(|error| unusable(hosts.clone())(error.into()))?;
    Ok(Server { client, name, hosts })
}

/// On a single server: makes this process the only one there.
pub(crate) async fn occupy(mongo: &Arc<Mongo>) -> Result<(), OpenError> {
    if let Err(Taken) = mongo.take_lease().await.map_err(OpenError::unusable(mongo))? {
        return Err(OpenError::Occupied { hosts: mongo.hosts.clone() });
    }
    tokio::spawn(keep(Arc::downgrade(mongo)));
    Ok(())
}

/// What the driver says of a URI, without the URI.
fn reason(uri: &str, error: &mongodb::error::Error) -> String {
    let text = match error.kind.as_ref() {
        mongodb::error::ErrorKind::InvalidArgument { message, .. } => message.clone(),
        kind => kind.to_string(),
    };
    text.replace(uri, "(the address)")
}

/// The layout of what lies there, if anything does; refused when it is newer than this program.
pub(crate) async fn layout(mongo: &Mongo) -> Result<Option<i32>, OpenError> {
    let query = Query::new(META, ID, doc! { "_id": "layout" });
    let found: Option<Layout> = query.one(mongo).await.map_err(OpenError::unusable(mongo))?;
    match found.map(|layout| layout.version) {
        Some(found) if found > VERSION => Err(OpenError::Newer { found }),
        found => Ok(found),
    }
}

/// The database's epoch, when it has one; refused while an import has not ended.
pub(crate) async fn epoch(mongo: &Mongo) -> Result<Option<Epoch>, OpenError> {
    let unusable = OpenError::unusable(mongo);
    let query = Query::new(META, ID, doc! { "_id": EPOCH });
    let found: Option<EpochDocument> = query.one(mongo).await.map_err(&unusable)?;
    let Some(EpochDocument { epoch }) = found else { return Ok(None) };
    let Some(epoch) = epoch else {
        return Err(OpenError::Unfinished {
            database: mongo.db.name().to_owned(),
            hosts: mongo.hosts.clone(),
        });
    };
    let damaged = |_| unusable(Failure::Damaged("the epoch in the database is none".to_owned()));
    Epoch::new(&epoch).map(Some).map_err(damaged)
}

/// Of several nodes that start at once, one sets it.
pub(crate) async fn set_once(mongo: &Mongo, id: &str, fields: Document) -> Result<(), Failure> {
    let mut writes = Writes::default();
    writes.update(META, doc! { "q": { "_id": id }, "u": { "$setOnInsert": fields }, "upsert": true });
    match mongo.run_all(writes).await {
        Ok(_) | Err(Failure::Conflict) => Ok(()),
        Err(failure) => Err(failure),
    }
}
