//! Every query and every statement uses an index: the server explains each.

#[path = "../tests/common/mod.rs"]
mod common;

use crate::documents::{IDEMPOTENCY, INBOXES, REGISTRATIONS, REVOCATIONS};
use crate::{MongoStore, Options};
use common::{unused, uri};
use mongodb::bson::{Document, doc};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{DeviceId, MarkOp, Timestamp};
use tidings_store::conformance::{DAY, Fixture, ManualClock, RETENTION, Recorder, user};
use tidings_store::{
    ArchivedFilter, ChangesQuery, Edit, Idempotency, InboxQuery, Range, StatusFilter, Store, Sweep,
};

/// Asks the store everything that can be asked.
async fn live(it: &Fixture, store: &MongoStore) {
    let ids: Vec<_> = it.send_many("ana", 6).await.into_iter().map(|receipt| receipt.id).collect();
    it.append(vec![it.in_category("ana", "m", "orders"), it.outgoing("bo", "m")]).await;
    it.put(it.collapsing("ana", "1", "k")).await;
    it.put(it.collapsing("ana", "2", "k")).await;
    it.put(it.expiring("ana", "soon", Duration::from_secs(60))).await;
    let key = Idempotency { key: "k".to_owned(), fingerprint: [1; 32], note: Vec::new() };
    store.append(vec![it.outgoing("ana", "m")], Some(key)).await.unwrap();
    for op in MarkOp::ALL {
        it.mark("ana", op, &ids[..2]).await;
        it.mark_up_to("ana", op, 3).await;
    }
    store.edit(ids[5], Edit { message: Some("edited".to_owned()), ..Edit::default() }).await.unwrap();
    store.recall(ids[4]).await.unwrap();
    it.register("ana", "phone", Some("pid"), 1).await;
    it.acknowledge("ana", "phone", 0, 5).await;
    it.acknowledge("ana", "tablet", 2, 5).await;
    store.revoke(&user("ana"), Timestamp::from_millis(1)).await.unwrap();
    store.revoked_at(&user("ana")).await.unwrap();
    store.registration("pid").await.unwrap();
    store.devices(&user("ana")).await.unwrap();
    store.heads(&[user("ana"), user("bo")]).await.unwrap();
    store.behind(&user("ana"), 3, 100).await.unwrap();
    store.reach_back(&user("ana"), 3).await.unwrap();
    store.counts(&user("ana"), Some("orders")).await.unwrap();
    for status in [StatusFilter::All, StatusFilter::Unread, StatusFilter::Read, StatusFilter::Unseen] {
        for archived in [ArchivedFilter::Exclude, ArchivedFilter::Include, ArchivedFilter::Only] {
            for range in [Range::Newest, Range::Before(4), Range::After(2)] {
                let category = Some("orders".to_owned());
                let query =
                    InboxQuery { status, archived, category, range, limit: 2, ..InboxQuery::default() };
                store.inbox(&user("ana"), query).await.unwrap();
            }
        }
    }
    it.audit("ana").await;
    // A revision of several, in pieces; what moved away from where it was created; and what is noted of that.
    it.changes_by("ana", ChangesQuery { bytes: 1, ..ChangesQuery::new(0, 100) }).await;
    store.moved(&user("ana"), 0, 5).await.unwrap();
    store.note_resume(&user("ana"), &DeviceId::new("phone").unwrap(), "1".to_owned()).await.unwrap();
    // Something expires, and is counted before and after it is swept.
    it.clock.advance(Duration::from_secs(61));
    it.audit("ana").await;
    it.sweep().await;
    it.clock.advance(RETENTION + DAY);
    it.sweep().await;
    it.clock.advance(RETENTION + DAY);
    store.sweep(Sweep { retention: RETENTION, limit: 1_000 }).await.unwrap();
}

/// What a plan comes down to at its lowest stage, whatever lies above it.
fn lowest(stage: &Document) -> String {
    for below in ["inputStage", "queryPlan"] {
        if let Ok(stage) = stage.get_document(below) {
            return lowest(stage);
        }
    }
    let name = stage.get_str("stage").unwrap_or("?");
    match stage.get_str("indexName") {
        Ok(index) => format!("{name} {index}"),
        Err(_) => name.to_owned(),
    }
}

/// Without the values: the same question to another inbox is the same question.
fn shape(command: &Document) -> String {
    fn of(value: &mongodb::bson::Bson) -> String {
        match value {
            mongodb::bson::Bson::Document(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}:{}", of(value))).collect();
                format!("{{{}}}", fields.join(","))
            }
            mongodb::bson::Bson::Array(values) => format!("[{}]", values.first().map(of).unwrap_or_default()),
            _ => "_".to_owned(),
        }
    }
    format!(
        "{} {}",
        command.iter().next().map_or("", |(_, name)| name.as_str().unwrap_or("")),
        of(&command.clone().into())
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_and_every_statement_uses_the_index_it_names() {
    let (clock, news) = (Arc::new(ManualClock::start()), Arc::new(Recorder::default()));
    let uri = uri(&unused("x"));
    let store =
        Arc::new(MongoStore::open(&uri, Options::default(), clock.clone(), news.clone()).await.unwrap());
    let it = Fixture::of(store.clone(), clock, news);
    live(&it, &store).await;

    let asked = std::mem::take(&mut *store.mongo.asked.lock().unwrap());
    let shapes: BTreeMap<String, Document> =
        asked.into_iter().map(|command| (shape(&command), command)).collect();
    let mut used: HashSet<(String, String)> = HashSet::new();
    let mut wrong = Vec::new();
    for (shape, command) in &shapes {
        let collection = command.iter().next().and_then(|(_, name)| name.as_str()).unwrap().to_owned();
        // What a statement changes it finds as a query does; not every server explains statements.
        let statements = command.get_array("updates").or_else(|_| command.get_array("deletes"));
        let statement = statements.ok().and_then(|all| all.first()?.as_document());
        let wanted = command.get_str("index").ok();
        let question = match statement.and_then(|statement| statement.get_document("q").ok()) {
            Some(filter) => {
                let mut question = doc! { "find": &collection, "filter": filter.clone() };
                if let Some(hint) = statement.and_then(|statement| statement.get("hint")) {
                    question.insert("hint", hint.clone());
                }
                question
            }
            None => {
                let mut question = command.clone();
                question.remove("index");
                question
            }
        };
        let explained = store
            .mongo
            .db
            .run_command(doc! { "explain": question, "verbosity": "queryPlanner" })
            .await
            .unwrap_or_else(|error| panic!("{shape}: {error}"));
        let planner = explained.get_document("queryPlanner").unwrap();
        let plan = lowest(planner.get_document("winningPlan").unwrap());
        let index = if plan == "IDHACK" {
            "_id_"
        } else {
            plan.rsplit_once("IXSCAN ").map_or("", |(_, index)| index)
        };
        if index.is_empty() || wanted.is_some_and(|wanted| wanted != index) {
            wrong.push(format!("{shape}: {plan}"));
        }
        used.insert((collection, index.to_owned()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // No index is there for nothing.
    for collection in [INBOXES, REGISTRATIONS, IDEMPOTENCY, REVOCATIONS] {
        for index in crate::schema::names(collection) {
            assert!(
                used.contains(&(collection.to_owned(), index.to_owned())),
                "nothing uses {collection}.{index}"
            );
        }
    }
    assert!(shapes.len() > 60, "{} kinds of questions and statements", shapes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_index_is_an_error() {
    let uri = uri(&unused("x"));
    let clock = Arc::new(ManualClock::start());
    let store =
        MongoStore::open(&uri, Options::default(), clock, Arc::new(Recorder::default())).await.unwrap();
    store.mongo.db.collection::<Document>(INBOXES).drop_index(crate::schema::LOG.name()).await.unwrap();
    let refused =
        store.inbox(&user("ana"), InboxQuery { limit: 1, ..InboxQuery::default() }).await.unwrap_err();
    assert!(refused.to_string().contains("log"), "{refused}");
}
