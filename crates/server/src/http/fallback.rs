use crate::http::problem::{Code, Problem};

/// No such route.
pub async fn not_found() -> Problem {
    Problem::not_found("route")
}

/// The route does not know this method.
pub async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this route does not know this method; see the Allow header")
}
