//! How a body is encoded on its way: as it is, or by gzip.

use crate::http::problem::{Code, Problem};
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use std::io::Read;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// By gzip.
    Gzip,
}

/// What `Content-Encoding` says. An empty one and `identity` are none.
pub fn coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    let mut coding = Coding::Identity;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or("unreadable").split(',').map(str::trim) {
            let is = |word: &str| name.eq_ignore_ascii_case(word);
            coding = match coding {
                coding if name.is_empty() || is("identity") => coding,
                Coding::Identity if is("gzip") || is("x-gzip") => Coding::Gzip,
                _ => {
                    let detail = "the body may be encoded by gzip, once, or not at all";
                    return Err(Problem::new(Code::UnsupportedMediaType, detail));
                }
            };
        }
    }
    Ok(coding)
}

/// The inflated bytes, `limit` at most: no more is inflated than tells that there are more.
pub fn inflate(gzip: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(gzip)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|_| Problem::new(Code::InvalidRequest, "the body cannot be read: it is not whole gzip"))?;
    if bytes.len() > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// The body is larger than is taken.
pub fn too_large(limit: usize) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("the body may have at most {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;
    use std::io::Write;

    fn of(values: &[&'static str]) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        coding(&headers).ok()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_or_nothing() {
        for none in [&[][..], &[""], &["identity"], &["Identity, "], &["", "identity"]] {
            assert_eq!(of(none), Some(Coding::Identity), "{none:?}");
        }
        for one in [&["gzip"][..], &["GZIP"], &["x-gzip"], &["identity, gzip"], &["", "gzip"]] {
            assert_eq!(of(one), Some(Coding::Gzip), "{one:?}");
        }
        for other in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "gzip"], &["gzip, br"], &["*"]] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

    #[test]
    fn inflates_up_to_the_limit() {
        let text = vec![b' '; 1_000];
        assert_eq!(inflate(&gzip(&text), 1_000).unwrap(), text);
        assert!(inflate(&gzip(&text), 999).is_err());
        // Members one after the other are one body.
        assert_eq!(inflate(&[gzip(b"{"), gzip(b"}")].concat(), 10).unwrap(), b"{}");
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert!(inflate(&bomb, 1_000).is_err());
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = gzip(b"{}");
        for cut in [0, 1, 10, whole.len() - 1] {
            assert!(inflate(&whole[..cut], 1_000).is_err(), "{cut}");
        }
        assert!(inflate(b"{}", 1_000).is_err());
    }
}
