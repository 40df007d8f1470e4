//! The paths of the original's routes as Express takes them: in any letter case, and with a slash at the end.

use http::{Method, Request, Uri};

/// Gives a request to a route of the original the path by which the router knows that route. Other requests stay as they are.
pub fn normalize<B>(request: &mut Request<B>) {
    let Some(path) = known(request.method(), request.uri().path()) else { return };
    let path_and_query = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let Ok(path_and_query) = path_and_query.parse() else { return };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// The router's path, where it is another one.
fn known(method: &Method, path: &str) -> Option<String> {
    let (api, rest) = path.strip_prefix('/')?.split_once('/')?;
    if !api.eq_ignore_ascii_case("api") {
        return None;
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let known = match rest.split_once('/') {
        None if rest.eq_ignore_ascii_case("health") => "/api/health".to_owned(),
        Some((list, user)) if list.eq_ignore_ascii_case("notifications") && !user.contains('/') => {
            let is_send = user.eq_ignore_ascii_case("send");
            if is_send && *method == Method::POST {
                "/api/notifications/send".to_owned()
            } else if user == "send" && (*method == Method::GET || *method == Method::HEAD) {
                // To the router `/send` is the route that sends, in every method. An escaped letter says the same name.
                "/api/notifications/%73end".to_owned()
            } else {
                format!("/api/notifications/{user}")
            }
        }
        _ => return None,
    };
    (known != path).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(method: Method, uri: &str) -> String {
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        normalize(&mut request);
        request.uri().to_string()
    }

    #[test]
    fn the_originals_routes_in_every_spelling() {
        for uri in [
            "/api/notifications/send",
            "/api/notifications/send/",
            "/API/Notifications/Send",
            "/Api/NOTIFICATIONS/SEND/",
        ] {
            assert_eq!(path(Method::POST, uri), "/api/notifications/send", "{uri}");
        }
        for uri in ["/api/health", "/api/health/", "/API/HEALTH", "/Api/Health/?x=1"] {
            assert!(path(Method::GET, uri).starts_with("/api/health"), "{uri}");
            assert!(!path(Method::GET, uri).contains("health/"), "{uri}");
        }
        for (uri, expected) in [
            ("/api/notifications/Ana/", "/api/notifications/Ana"),
            ("/API/notifications/Ana?limit=1", "/api/notifications/Ana?limit=1"),
            ("/api/Notifications/a%2Fb/?before=s7", "/api/notifications/a%2Fb?before=s7"),
            ("/api/notifications/send", "/api/notifications/%73end"),
            ("/api/notifications/send/?limit=1", "/api/notifications/%73end?limit=1"),
            ("/api/notifications/SEND", "/api/notifications/SEND"),
        ] {
            assert_eq!(path(Method::GET, uri), expected, "{uri}");
        }
    }

    #[test]
    fn other_paths_stay_as_they_are() {
        for uri in [
            "/",
            "/api",
            "/api/",
            "/api/nothing/",
            "/api/notifications",
            "/api/notifications/",
            "/api/notifications/a/b",
            "/api/notifications/ana//",
            "//api/health",
            "/V1/notifications/",
            "/v1/users/ana/inbox/",
            "/apis/health/",
        ] {
            assert_eq!(path(Method::GET, uri), uri);
        }
    }
}
