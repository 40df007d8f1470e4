use crate::app::App;
use crate::http::extract::BatchJson;
use crate::http::idempotency::{Answered, IdempotencyKey, replayed};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::send::{Sent, outgoing};
use crate::input::read_batch;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What became of an item, as far as it is known before storing: kept beside an idempotency key, so that a replay tells the
/// same. The ids and numbers come from the receipts.
#[derive(Serialize, Deserialize)]
enum Verdict {
    /// Stored for so many users.
    Stored(usize),
    /// Refused, with this problem.
    Refused(Box<RawValue>),
}

#[derive(Serialize)]
struct Answer {
    results: Vec<ItemAnswer>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ItemAnswer {
    Stored { ok: bool, notifications: Vec<Sent> },
    Refused { ok: bool, problem: Box<RawValue> },
}

/// `POST /v1/notifications/batch`: the valid items are stored, together; each of the others gets its problem.
pub async fn batch(
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    BatchJson(body): BatchJson,
) -> Result<Response, Problem> {
    let mut verdicts = Vec::new();
    let mut all = Vec::new();
    for item in read_batch(&body, app.clock.now())? {
        verdicts.push(match item {
            Ok(draft) => {
                let before = all.len();
                all.extend(outgoing(draft));
                Verdict::Stored(all.len() - before)
            }
            Err(refused) => Verdict::Refused(raw(&Problem::from(refused).body())?),
        });
        if all.len() > MOST {
            let detail = format!("a batch may reach {MOST} users in all");
            return Err(tidings_domain::Invalid::one("notifications", detail).into());
        }
    }
    let note = serde_json::to_vec(&verdicts).map_err(broken)?;
    let answered: Answered = app.store.append(all, key.of("batch", &body, note)).await?.into();
    let again = answered.note.is_some();
    if let Some(note) = answered.note {
        verdicts = serde_json::from_slice(&note).map_err(broken)?;
    }
    let mut receipts = answered.receipts.into_iter();
    let results = verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Stored(users) => ItemAnswer::Stored {
                ok: true,
                notifications: receipts.by_ref().take(users).map(Sent::from).collect(),
            },
            Verdict::Refused(problem) => ItemAnswer::Refused { ok: false, problem },
        })
        .collect();
    let json = serde_json::to_vec(&Answer { results }).map_err(broken)?;
    Ok(replayed(again, ([(header::CONTENT_TYPE, "application/json")], json).into_response()))
}

/// One transaction must not grow without bound, however many users each item names.
const MOST: usize = 10_000;

fn raw(problem: &ProblemBody) -> Result<Box<RawValue>, Problem> {
    serde_json::value::to_raw_value(problem).map_err(broken)
}

fn broken(error: serde_json::Error) -> Problem {
    Problem::new(Code::Unavailable, format!("the answer cannot be written: {error}"))
}
