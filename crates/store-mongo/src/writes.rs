use crate::failure::Failure;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf};

/// How large one command becomes, in bytes. MongoDB takes 16 MiB.
const COMMAND_BYTES: usize = 4 * 1024 * 1024;

/// How many statements or documents one command has.
const COMMAND_ITEMS: usize = 1_000;

/// What is written together, in order: all of it or nothing.
///
/// Every command can be given again after it was done, in whole or in part, and then changes nothing more: what is inserted
/// has a key of its own, and what is set is set to a value that does not depend on the one before. The way without
/// transactions rests on that.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    commands: Vec<Command>,
    /// The statements do not depend on each other.
    unordered: bool,
    /// A statement could not be encoded: then none of them may be written.
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Command {
    collection: &'static str,
    what: What,
    items: RawArrayBuf,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Insert,
    Update,
    Delete,
}

impl Writes {
    /// Of statements that do not depend on each other: what one of them meets does not hold up the others.
    pub(crate) fn unordered() -> Self {
        Self { unordered: true, ..Self::default() }
    }

    /// A new document.
    pub(crate) fn insert(&mut self, collection: &'static str, document: RawDocumentBuf) {
        self.push(collection, What::Insert, document);
    }

    /// An update statement, as MongoDB's `update` command has them.
    pub(crate) fn update(&mut self, collection: &'static str, statement: Document) {
        self.statement(collection, What::Update, &statement);
    }

    /// A delete statement.
    pub(crate) fn delete(&mut self, collection: &'static str, statement: Document) {
        self.statement(collection, What::Delete, &statement);
    }

    fn statement(&mut self, collection: &'static str, what: What, statement: &Document) {
        match RawDocumentBuf::try_from(statement) {
            Ok(raw) => self.push(collection, what, raw),
            Err(error) => {
                self.failure.get_or_insert_with(|| Failure::from(error));
            }
        }
    }

    fn push(&mut self, collection: &'static str, what: What, item: RawDocumentBuf) {
        let fits = self.commands.last().is_some_and(|last| {
            last.collection == collection
                && last.what == what
                && last.count < COMMAND_ITEMS
                && last.items.as_bytes().len() + item.as_bytes().len() < COMMAND_BYTES
        });
        if !fits {
            self.commands.push(Command { collection, what, items: RawArrayBuf::new(), count: 0 });
        }
        if let Some(last) = self.commands.last_mut() {
            last.items.push(item);
            last.count += 1;
        }
    }

    /// And all of that, after it.
    pub(crate) fn append(&mut self, more: Writes) {
        self.commands.extend(more.commands);
        self.failure = self.failure.take().or(more.failure);
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.failure.is_none()
    }

    /// As commands of MongoDB, in order. Fails where one of them could not be encoded.
    pub(crate) fn into_commands(self) -> Result<impl Iterator<Item = RawDocumentBuf>, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let ordered = !self.unordered;
        let commands = self.commands.into_iter().map(move |Command { collection, what, items, .. }| {
            let (verb, list) = match what {
                What::Insert => (cstr!("insert"), cstr!("documents")),
                What::Update => (cstr!("update"), cstr!("updates")),
                What::Delete => (cstr!("delete"), cstr!("deletes")),
            };
            let mut command = RawDocumentBuf::new();
            command.append(verb, collection);
            command.append(cstr!("ordered"), ordered);
            command.append(list, items);
            command
        });
        Ok(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn what_cannot_be_encoded_is_an_error_and_not_left_out() {
        let mut writes = Writes::default();
        writes.update("c", doc! { "q": { "a\0b": 1 }, "u": {} });
        writes.delete("c", doc! { "q": { "a": 1 }, "limit": 1 });
        assert!(!writes.is_empty());
        let mut all = Writes::default();
        all.append(writes);
        let Err(refused) = all.into_commands().map(Iterator::count) else { panic!("encoded") };
        assert!(matches!(refused, Failure::Damaged(_)), "{refused:?}");
    }
}
