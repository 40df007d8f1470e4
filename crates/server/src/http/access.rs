//! Who may do what, decided here and nowhere else: each group of routes lies behind one of these layers, so that no
//! handler can forget it. Sockets ask the same [`Auth`](tidings_auth::Auth) and the same
//! [`Principal`](tidings_auth::Principal).

use crate::app::App;
use crate::http::problem::{Code, Problem};
use crate::revocation::check_revoked;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use std::sync::Arc;
use tidings_auth::{Principal, Refusal};
use tidings_domain::UserId;

/// For those who send: an API key, or anybody in open mode.
pub async fn senders(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let principal = match principal(&app, request.headers(), None).await {
        Ok(principal) => principal,
        Err(problem) => return problem.into_response(),
    };
    if !principal.may_send() {
        return Problem::new(
            Code::Forbidden,
            "this needs an API key: a user token opens its user's inbox only",
        )
        .into_response();
    }
    request.extensions_mut().insert(principal);
    next.run(request).await
}

/// For the user named in the path: a token of that user, an API key, or anybody in open mode.
pub async fn owners(
    State(app): State<Arc<App>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let allowed = async {
        let params =
            params.map_err(|_| Problem::new(Code::InvalidRequest, "the user in the path cannot be read"))?;
        let user = owner(&params)?;
        let token = take_access_token(&mut request);
        let principal = principal(&app, request.headers(), token.as_deref()).await?;
        if !principal.may_use(&user) {
            return Err(Problem::new(Code::Forbidden, "this token opens another user's inbox only"));
        }
        Ok(principal)
    };
    let principal = match allowed.await {
        Ok(principal) => principal,
        Err(problem) => return problem.into_response(),
    };
    // What reads a page needs room for it; a stream has its own window.
    let reads = request.method().is_safe() && !request.uri().path().ends_with("/stream");
    let reserved = match reads {
        true => app.answers.reserve().await.map(Some),
        false => Ok(None),
    };
    let reserved = match reserved {
        Ok(reserved) => reserved,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(principal);
    let mut response = next.run(request).await;
    if let Some(reserved) = reserved {
        response.extensions_mut().insert(reserved);
    }
    response
}

fn owner(params: &RawPathParams) -> Result<UserId, Problem> {
    let named = params.iter().find(|(name, _)| *name == "user_id").map(|(_, value)| value);
    Ok(UserId::new(named.unwrap_or_default())?)
}

/// The token of the query, where the route is the stream: `EventSource` cannot send a header. It is taken out of the
/// request, so that nothing behind this sees it.
fn take_access_token(request: &mut Request) -> Option<String> {
    let path = request.uri().path();
    if !(path.starts_with("/v1/users/") && path.ends_with("/stream")) {
        return None;
    }
    let query = request.uri().query()?;
    let (mut token, mut rest) = (None, form_urlencoded::Serializer::new(String::new()));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "access_token" && token.is_none() {
            token = Some(value.into_owned());
        } else {
            rest.append_pair(&name, &value);
        }
    }
    token.as_ref()?;
    let rest = rest.finish();
    let path_and_query = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
    if let Ok(uri) = path_and_query.parse() {
        *request.uri_mut() = uri;
    }
    token
}

async fn principal(app: &App, headers: &HeaderMap, token: Option<&str>) -> Result<Principal, Problem> {
    if app.auth.is_open() {
        return Ok(Principal::Anybody);
    }
    let presented = bearer(headers)?.or(token).ok_or_else(|| unauthorized(&Refusal::Missing))?;
    let principal = app.auth.check_bearer(presented).await.map_err(|refusal| unauthorized(&refusal))?;
    if check_revoked(app, &principal).await? {
        return Err(Problem::new(
            Code::Unauthorized,
            "the sessions of this user were ended; a new token is needed",
        ));
    }
    Ok(principal)
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Code::Unauthorized, "Authorization is given twice"));
    }
    let text = value.to_str().unwrap_or_default();
    let token = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, t)| t.trim());
    match token {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Problem::new(Code::Unauthorized, "Authorization must be: Bearer, and a key or token")),
    }
}

fn unauthorized(refusal: &Refusal) -> Problem {
    let code = if refusal.is_retryable() { Code::Unavailable } else { Code::Unauthorized };
    Problem::new(code, refusal.to_string())
}
