use crate::app::App;
use crate::http::extract::BatchJson;
use crate::http::idempotency::{IdempotencyKey, Judged, answered, replayed};
use crate::http::problem::{Code, Problem};
use crate::http::send::{Sent, outgoing};
use crate::http::verdicts::{Note, Problems, Verdict};
use crate::input::{Batch, in_item, read_batch};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_domain::{Invalid, Timestamp};
use tidings_store::Outgoing;

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
    let answered = answered(&app, key, "batch", &body, |now| {
        let (outgoing, judged) = judge(&read_batch(&body)?, now)?;
        verdicts = judged;
        Ok(Judged { outgoing, note: Note::of(&verdicts, now).to_bytes()? })
    })
    .await?;
    let again = answered.note.is_some();
    if let Some(note) = answered.note {
        // The same body, judged at the moment of the first answer, has the problems that it had then.
        verdicts = match Note::from_bytes(&note)? {
            Note::Judged { at, stored } => {
                let (_, judged) = judge(&read_batch(&body)?, Timestamp::from_millis(at))?;
                Verdict::settled(judged, &stored)?
            }
            Note::Whole(verdicts) => verdicts,
        };
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

fn judge(batch: &Batch<'_>, now: Timestamp) -> Result<(Vec<Outgoing>, Vec<Verdict>), Problem> {
    let (mut all, mut verdicts, mut problems) = (Vec::new(), Vec::new(), Problems::default());
    for (index, item) in batch.items().enumerate() {
        let draft = item.and_then(|item| item.at(now).map_err(|invalid| in_item(index, invalid.into())));
        verdicts.push(match draft {
            Ok(draft) => {
                let before = all.len();
                all.extend(outgoing(draft));
                Verdict::Stored(all.len() - before)
            }
            Err(invalid) => Verdict::Refused(problems.of(index, invalid)?),
        });
        if all.len() > MOST {
            let detail = format!("a batch may reach {MOST} users in all");
            return Err(Invalid::one("notifications", detail).into());
        }
    }
    Ok((all, verdicts))
}

/// An answer or a note that cannot be written or read.
pub fn broken(error: serde_json::Error) -> Problem {
    Problem::new(Code::Unavailable, format!("the answer cannot be written: {error}"))
}
