//! The dialect of `.env`: that of the npm package `dotenv` 16, so that a file which served the original system means the
//! same here. `tests/dotenv/cases.json` holds what that package makes of many files, and the test here compares.
//!
//! An assignment begins a line: `NAME=value` or `NAME: value`, perhaps after `export`. A value in single quotes, double
//! quotes or backticks may span lines; `\n` and `\r` are expanded in double quotes only, and `$` means nothing anywhere. `#`
//! begins a comment, except inside quotes. Space includes line ends where the package's pattern says so: an empty value
//! takes a quoted one from the next line.

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Names with their values, in the order of the file; of two with one name the last one counts.
    pub values: Vec<(String, String)>,
    /// The lines that are neither part of an assignment, nor comments, nor blank.
    pub unreadable: Vec<Line>,
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// What stands there.
    pub text: String,
}

/// Reads the text of a file.
pub fn parse(source: &str) -> Parsed {
    let text = Text(source.replace("\r\n", "\n").replace('\r', "\n").chars().collect());
    let mut parsed = Parsed::default();
    let (mut at, mut skipped) = (0, Vec::new());
    loop {
        let start = text.skip_space(at);
        if text.get(start).is_none() {
            break;
        }
        at = match text.assignment(start) {
            Some(Assignment { name, value, end }) => {
                parsed.values.push((name, value));
                end + 1
            }
            None => {
                let end = text.line_end(start);
                if text.get(start) != Some('#') {
                    skipped.push((start, end));
                }
                end + 1
            }
        };
    }
    parsed.unreadable = text.lines(&skipped);
    parsed
}

struct Text(Vec<char>);

struct Assignment {
    name: String,
    value: String,
    /// Where its last line ends.
    end: usize,
}

impl Text {
    fn get(&self, at: usize) -> Option<char> {
        self.0.get(at).copied()
    }

    fn skip_while(&self, from: usize, passes: impl Fn(char) -> bool) -> usize {
        self.0
            .iter()
            .skip(from)
            .position(|c| !passes(*c))
            .map_or(self.0.len().max(from), |offset| from + offset)
    }

    fn skip_space(&self, from: usize) -> usize {
        self.skip_while(from, is_space)
    }

    fn line_end(&self, from: usize) -> usize {
        self.skip_while(from, |c| !ends_line(c))
    }

    fn assignment(&self, start: usize) -> Option<Assignment> {
        const EXPORT: &str = "export";
        let after = start + EXPORT.len();
        let exported = self.0.get(start..after).is_some_and(|word| word.iter().copied().eq(EXPORT.chars()))
            && self.get(after).is_some_and(is_space);
        // `export` may also be the name itself.
        exported.then(|| self.pair(self.skip_space(after))).flatten().or_else(|| self.pair(start))
    }

    fn pair(&self, start: usize) -> Option<Assignment> {
        let end = self.skip_while(start, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        let name: String = self.0.get(start..end).filter(|name| !name.is_empty())?.iter().collect();
        let equals = self.skip_space(end);
        let from = if self.get(equals) == Some('=') {
            equals + 1
        } else if self.get(end) == Some(':') && self.get(end + 1).is_some_and(is_space) {
            end + 2
        } else {
            return None;
        };
        let (raw, end) = self.quoted(from).or_else(|| self.bare(from))?;
        Some(Assignment { name, value: value_of(raw), end })
    }

    /// A value in quotes. A quote after a backslash closes it only if no other one does.
    fn quoted(&self, from: usize) -> Option<(&[char], usize)> {
        let open = self.skip_space(from);
        let quote = self.get(open).filter(|c| is_quote(*c))?;
        let mut escaped = Vec::new();
        for close in open + 1..self.0.len() {
            if self.0[close] != quote {
                continue;
            }
            if close > open + 1 && self.0[close - 1] == '\\' {
                escaped.push(close);
                continue;
            }
            escaped.push(close);
            break;
        }
        escaped
            .into_iter()
            .rev()
            .find_map(|close| Some((&self.0[open..=close], self.rest_of_line(close + 1)?)))
    }

    /// A value without quotes, to the end of its line or a comment; perhaps none.
    fn bare(&self, from: usize) -> Option<(&[char], usize)> {
        let end = self.skip_while(from, |c| c != '#' && c != '\n');
        Some((&self.0[from..end], self.rest_of_line(end)?))
    }

    /// Where the line ends, if nothing but space and a comment follows. Both may stand on later lines.
    fn rest_of_line(&self, from: usize) -> Option<usize> {
        let next = self.skip_space(from);
        match self.get(next) {
            None => Some(next),
            Some('#') => Some(self.line_end(next)),
            Some(_) => (from..next).rev().find(|at| self.get(*at).is_some_and(ends_line)),
        }
    }

    fn lines(&self, spans: &[(usize, usize)]) -> Vec<Line> {
        let (mut number, mut counted) = (1, 0);
        let mut lines = Vec::new();
        for (start, end) in spans {
            number += self.0[counted..*start].iter().filter(|c| **c == '\n').count();
            counted = *start;
            lines.push(Line { number, text: self.0[*start..*end].iter().collect() });
        }
        lines
    }
}

fn value_of(raw: &[char]) -> String {
    let start = raw.iter().position(|c| !is_space(*c)).unwrap_or(raw.len());
    let end = raw.iter().rposition(|c| !is_space(*c)).map_or(start, |last| last + 1);
    let trimmed = &raw[start..end];
    let value = without_quotes(trimmed);
    match trimmed.first() {
        Some('"') => value.replace("\\n", "\n").replace("\\r", "\r"),
        _ => value,
    }
}

/// Takes off the quotes that begin a line and end that or a later one.
fn without_quotes(text: &[char]) -> String {
    let mut value = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let begins_line = at == 0 || ends_line(text[at - 1]);
        let closes = |close: &usize| {
            text[*close] == text[at] && text.get(close + 1).is_none_or(|next| ends_line(*next))
        };
        let close =
            if begins_line && is_quote(text[at]) { (at + 1..text.len()).rev().find(closes) } else { None };
        match close {
            Some(close) => {
                value.extend(&text[at + 1..close]);
                at = close + 1;
            }
            None => {
                value.push(text[at]);
                at += 1;
            }
        }
    }
    value
}

fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '"' | '`')
}

/// What JavaScript calls white space. A byte order mark is among it, which is why one at the beginning does no harm.
fn is_space(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// What JavaScript calls the end of a line; carriage returns are gone by then.
fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Deserialize)]
    struct Case {
        source: String,
        values: BTreeMap<String, String>,
    }

    #[test]
    fn every_file_means_what_it_means_to_dotenv_16() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/dotenv/cases.json")).unwrap();
        assert!(cases.len() > 500);
        for Case { source, values } in cases {
            let found: BTreeMap<String, String> = parse(&source).values.into_iter().collect();
            assert_eq!(found, values, "{source:?}");
        }
    }

    #[test]
    fn lines_that_cannot_be_read_are_told_with_their_numbers() {
        let source = "# a comment\nA=1\n\nnonsense here\r\nB='x\ny'\n  --flag\nC=3 # three\nD\n# end";
        let parsed = parse(source);
        let names: Vec<_> = parsed.values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C"]);
        let lines: Vec<_> = parsed.unreadable.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(lines, [(4, "nonsense here"), (7, "--flag"), (9, "D")]);
    }
}
