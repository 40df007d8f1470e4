//! Many requests to send in one body. What is wrong with one of them is a problem of that one.

use crate::input::notification::{Refused, Undated, read_send};
use crate::input::{Fields, Malformed, Unknown, check_around, check_json};
use serde_json::value::RawValue;
use tidings_domain::{FieldError, Invalid, limits};

/// The field of a batch that has its items.
const ITEMS: &str = "notifications";

/// Refuses what is no JSON or says something twice, but for what is wrong inside of one item only.
pub fn check_batch(body: &[u8]) -> Result<(), Malformed> {
    check_around(body, ITEMS)
}

/// The items of a batch, in order. Each is read when it is asked for, so that who stops at too many users in all has not
/// gathered them.
#[derive(Debug)]
pub struct Batch<'a>(Vec<&'a RawValue>);

/// The body of `POST /v1/notifications/batch`, which passed [`check_batch`].
pub fn read_batch(body: &str) -> Result<Batch<'_>, Refused> {
    let mut fields = Fields::of(body)?;
    let items = fields.list(ITEMS, limits::BATCH_ITEMS);
    match &items {
        None if fields.good() => fields.wrong(ITEMS, "is required"),
        Some(items) if items.is_empty() => fields.wrong(ITEMS, "must not be empty"),
        _ => {}
    }
    fields.finish(Unknown::Refuse)?;
    Ok(Batch(items.unwrap_or_default()))
}

impl Batch<'_> {
    /// Every item, read as if it was sent alone; an error names the item.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Result<Undated, Invalid>> {
        self.0
            .iter()
            .enumerate()
            .map(|(index, item)| read_item(item).map_err(|refused| in_item(index, refused)))
    }
}

fn read_item(item: &RawValue) -> Result<Undated, Refused> {
    check_json(item.get().as_bytes())?;
    read_send(item.get())
}

/// What is wrong with an item, as paths of the batch.
pub fn in_item(index: usize, refused: Refused) -> Invalid {
    let path = format!("{ITEMS}[{index}]");
    match refused {
        Refused::Malformed(malformed) => Invalid::one(path, format!("cannot be read: {malformed}")),
        Refused::Invalid(Invalid(errors)) => {
            let named = errors
                .into_iter()
                .map(|error| FieldError::new(format!("{path}.{}", error.field), error.detail));
            Invalid(named.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field that is wrong with each item; nothing where it is good.
    fn judged(items: &str) -> Vec<Option<String>> {
        let body = format!(r#"{{"notifications":[{items}]}}"#);
        check_batch(body.as_bytes()).unwrap();
        let batch = read_batch(&body).unwrap();
        batch.items().map(|item| item.err().map(|Invalid(errors)| errors[0].field.clone())).collect()
    }

    #[test]
    fn a_bad_item_does_not_spoil_the_others() {
        let good = r#"{"to":"a","message":"m"}"#;
        let deep =
            format!(r#"{{"to":"a","message":"m","data":{}1{}}}"#, r#"{"a":"#.repeat(125), "}".repeat(125));
        for (bad, field) in [
            (r#"{"to":"a"}"#, "notifications[1].message"),
            (r#"{"to":"a","message":"m","actions":[{"label":"x"}]}"#, "notifications[1].actions[0].url"),
            ("7", "notifications[1]"),
            ("null", "notifications[1]"),
            (r#"{"to":"a","message":"m","message":"n"}"#, "notifications[1]"),
            (r#"{"to":"a","message":"m","data":{"n":{"a":1,"a":1}}}"#, "notifications[1]"),
            (r#"{"to":"a","message":"m","data":{"n":1e999}}"#, "notifications[1]"),
            (deep.as_str(), "notifications[1]"),
        ] {
            assert_eq!(
                judged(&format!("{good},{bad},{good}")),
                [None, Some(field.to_owned()), None],
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_the_batch_itself_refuses_it() {
        let refused = |body: &str| match read_batch(body) {
            Err(Refused::Invalid(Invalid(errors))) => errors[0].field.clone(),
            other => panic!("not refused by field: {other:?}"),
        };
        assert_eq!(refused("{}"), "notifications");
        assert_eq!(refused(r#"{"notifications":[]}"#), "notifications");
        assert_eq!(refused(r#"{"notifications":7}"#), "notifications");
        assert_eq!(refused(r#"{"notifications":[{}],"x":1}"#), "x");
        let many = |items: usize| format!(r#"{{"notifications":[{{}}{}]}}"#, ",{}".repeat(items - 1));
        assert_eq!(read_batch(&many(1_000)).unwrap().items().len(), 1_000);
        assert_eq!(refused(&many(1_001)), "notifications");
        for bad in [
            r#"{"notifications":[1],"notifications":[1]}"#,
            r#"{"notifications":[1}"#,
            r#"{"x":{"a":1,"a":1}}"#,
        ] {
            assert!(check_batch(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
