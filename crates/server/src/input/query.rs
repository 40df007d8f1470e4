use std::collections::HashSet;
use tidings_domain::{FieldError, Invalid};
use tidings_store::{ArchivedFilter, InboxQuery, PAGE_BYTES, Range, StatusFilter};

/// The parameters of a URL, taken one by one like the fields of a body.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

/// How many parameters a URL may have; the route that knows most of them knows seven.
const PARAMETERS: usize = 64;

impl Query {
    /// Reads `a=1&b=2`; a parameter given twice is an error.
    pub fn of(query: Option<&str>) -> Self {
        // No more of them are kept than tell that there are too many.
        let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .take(PARAMETERS + 1)
            .collect();
        let mut errors = Vec::new();
        if let Some((name, _)) = pairs.get(PARAMETERS) {
            errors.push(FieldError::new(short(name), format!("is one parameter above {PARAMETERS}")));
            pairs.truncate(PARAMETERS);
        }
        let mut seen = HashSet::with_capacity(pairs.len());
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !seen.insert(name)) {
            errors.push(FieldError::new(short(name), "is given twice"));
        }
        Self { pairs, errors }
    }

    /// The same as the original's routes take it: an empty parameter counts as absent.
    pub fn without_empty(mut self) -> Self {
        self.pairs.retain(|(_, value)| !value.is_empty());
        self
    }

    /// A parameter as a text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(key, _)| key == name)?;
        Some(self.pairs.swap_remove(index).1)
    }

    /// A whole number from 0.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        if number.is_none() {
            self.wrong(name, "must be a whole number from 0");
        }
        number
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            self.wrong(name, format!("must be one of: {all}"));
        }
        found
    }

    /// A page's length.
    pub fn limit(&mut self) -> usize {
        const DEFAULT: usize = 50;
        match self.number("limit") {
            None => DEFAULT,
            Some(limit @ 1..=100) => limit as usize,
            Some(_) => {
                self.wrong("limit", "must be 1 to 100");
                DEFAULT
            }
        }
    }

    fn page_cursor(&mut self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let seq = text.strip_prefix('s').filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        let seq = seq.and_then(|seq| seq.parse().ok());
        if seq.is_none() {
            self.wrong(name, "must be a cursor as the server gave it");
        }
        seq
    }

    /// `before` and `after`.
    pub fn range(&mut self) -> Range {
        match (self.page_cursor("before"), self.page_cursor("after")) {
            (None, None) => Range::Newest,
            (Some(before), None) => Range::Before(before),
            (None, Some(after)) => Range::After(after),
            (Some(_), Some(_)) => {
                self.wrong("before", "only one of before and after can be given");
                Range::Newest
            }
        }
    }

    /// The whole question to an inbox.
    pub fn inbox(&mut self) -> InboxQuery {
        let status = [
            ("all", StatusFilter::All),
            ("unread", StatusFilter::Unread),
            ("read", StatusFilter::Read),
            ("unseen", StatusFilter::Unseen),
        ];
        let archived = [
            ("exclude", ArchivedFilter::Exclude),
            ("include", ArchivedFilter::Include),
            ("only", ArchivedFilter::Only),
        ];
        InboxQuery {
            status: self.word("status", &status).unwrap_or_default(),
            archived: self.word("archived", &archived).unwrap_or_default(),
            category: self.text("category"),
            range: self.range(),
            limit: self.limit(),
            bytes: PAGE_BYTES,
        }
    }

    /// Reports that a parameter is wrong.
    pub fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(name, detail));
    }

    /// Whether this parameter was found wrong.
    pub fn is_wrong(&self, name: &str) -> bool {
        self.errors.iter().any(|error| error.field == name)
    }

    /// All that is wrong; parameters that nobody asked for are let be, as on the original's routes.
    pub fn finish_ignoring(mut self) -> Result<(), Invalid> {
        self.pairs.clear();
        self.finish()
    }

    /// All that is wrong, if anything; parameters that nobody asked for are.
    pub fn finish(mut self) -> Result<(), Invalid> {
        if let Some((name, _)) = self.pairs.first() {
            let name = short(name);
            self.wrong(&name, "is not a parameter of this route");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Invalid(self.errors)) }
    }
}

/// A name that is worth quoting.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A page's cursor as it is written; opaque to clients.
pub fn page_cursor(seq: u64) -> String {
    format!("s{seq}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(query: &str) -> Vec<String> {
        let mut query = Query::of(Some(query));
        query.inbox();
        query.finish().err().map(|i| i.0.into_iter().map(|e| e.field).collect()).unwrap_or_default()
    }

    #[test]
    fn reads_an_inbox_query() {
        let mut query = Query::of(Some("status=unread&archived=only&category=a%20b&limit=7&before=s9"));
        let inbox = query.inbox();
        assert!(query.finish().is_ok());
        assert_eq!((inbox.limit, inbox.range), (7, Range::Before(9)));
        assert_eq!(inbox.category.as_deref(), Some("a b"));
    }

    #[test]
    fn takes_few_parameters_and_keeps_no_more() {
        let many = |count: usize| (0..count).map(|n| format!("p{n}=")).collect::<Vec<_>>().join("&");
        assert!(Query::of(Some(&many(64))).finish_ignoring().is_ok());
        let query = Query::of(Some(&many(5_000)));
        assert_eq!(query.pairs.len(), 64);
        assert_eq!(query.finish_ignoring().unwrap_err().0[0].field, "p64");
        assert_eq!(errors(&format!("{}&p0=", many(10)))[0], "p0");
    }

    #[test]
    fn the_original_takes_an_empty_parameter_for_none() {
        let mut query = Query::of(Some("limit=&before=&x=")).without_empty();
        assert_eq!((query.limit(), query.range()), (50, Range::Newest));
        assert!(query.finish_ignoring().is_ok());
    }

    #[test]
    fn names_what_is_wrong() {
        for (query, expected) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
            ("status=new", "status"),
            ("before=9", "before"),
            ("before=s1&after=s2", "before"),
            ("page=2", "page"),
        ] {
            assert_eq!(errors(query)[0], expected, "{query}");
        }
    }
}
