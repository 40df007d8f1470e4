use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::schema::Index;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::{FindOptions, Hint};
use mongodb::{ClientSession, Cursor};
use serde::de::DeserializeOwned;

/// What is read of a collection. Every query names the index that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    collection: &'static str,
    index: Index,
    filter: Document,
    options: FindOptions,
}

/// What comes of a query.
pub(crate) trait Found: DeserializeOwned + Send + Sync + Unpin {}
impl<T: DeserializeOwned + Send + Sync + Unpin> Found for T {}

impl Query {
    pub(crate) fn new(collection: &'static str, index: Index, filter: Document) -> Self {
        let hint = index.hint(&filter).map(|name| Hint::Name(name.to_owned()));
        let options = FindOptions::builder().hint(hint).build();
        Self { collection, index, filter, options }
    }

    /// Names the index as a hint in any case: this is a walk along it.
    pub(crate) fn along_the_index(mut self) -> Self {
        self.options.hint = Some(Hint::Name(self.index.name().to_owned()));
        self
    }

    /// Only these fields.
    pub(crate) fn fields(mut self, fields: Document) -> Self {
        self.options.projection = Some(fields);
        self
    }

    pub(crate) fn sort(mut self, sort: Document) -> Self {
        self.options.sort = Some(sort);
        self
    }

    /// At most so many; at least one.
    pub(crate) fn limit(mut self, limit: i64) -> Self {
        self.options.limit = Some(limit.max(1));
        // What is wanted is wanted in one answer.
        self.options.batch_size = u32::try_from(limit.clamp(1, 10_000)).ok();
        self
    }

    pub(crate) fn skip(mut self, skip: u64) -> Self {
        self.options.skip = Some(skip.min(i64::MAX as u64));
        self
    }

    /// All that there is, as a majority has it.
    pub(crate) async fn all<T: Found>(self, mongo: &Mongo) -> Result<Vec<T>, Failure> {
        mongo.note(|| self.command());
        let collection = mongo.db.collection::<T>(self.collection);
        Ok(collection.find(self.filter).with_options(self.options).await?.try_collect().await?)
    }

    /// One after the other, `batch` documents a round trip: for who may not want them all.
    pub(crate) async fn stream<T: Found>(mut self, mongo: &Mongo, batch: u32) -> Result<Cursor<T>, Failure> {
        self.options.batch_size = Some(batch);
        mongo.note(|| self.command());
        let collection = mongo.db.collection::<T>(self.collection);
        Ok(collection.find(self.filter).with_options(self.options).await?)
    }

    /// The first.
    pub(crate) async fn one<T: Found>(self, mongo: &Mongo) -> Result<Option<T>, Failure> {
        Ok(self.limit(1).all(mongo).await?.pop())
    }

    /// All that there is, in a transaction.
    pub(crate) async fn all_within<T: Found>(
        self,
        mongo: &Mongo,
        session: &mut ClientSession,
    ) -> Result<Vec<T>, Failure> {
        mongo.note(|| self.command());
        let collection = mongo.db.collection::<T>(self.collection);
        let mut cursor =
            collection.find(self.filter).with_options(self.options).session(&mut *session).await?;
        Ok(cursor.stream(session).try_collect().await?)
    }

    /// How many there are, counted up to `cap`.
    pub(crate) async fn count(self, mongo: &Mongo, cap: u64) -> Result<u64, Failure> {
        mongo.note(|| self.command());
        let collection = mongo.db.collection::<Document>(self.collection);
        Ok(collection.count_documents(self.filter).limit(cap.clamp(1, i64::MAX as u64)).await?)
    }

    /// As a command of MongoDB.
    fn command(&self) -> Document {
        let mut command =
            doc! { "find": self.collection, "filter": self.filter.clone(), "index": self.index.name() };
        if let Some(Hint::Name(hint)) = &self.options.hint {
            command.insert("hint", hint);
        }
        if let Some(sort) = &self.options.sort {
            command.insert("sort", sort.clone());
        }
        command
    }
}
