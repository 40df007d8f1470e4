use crate::app::App;
use crate::http::{
    access, ack::ack, assets, batch::batch, changes::changes, counts::counts, devices::devices, edit::edit,
    end_sessions::end_sessions, fallback, get::get, health, inbox::inbox, list_original::list_original,
    mark::mark, mint::mint, recall::recall, send::send, send_original::send_original, stream::stream,
};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get as on_get, post};
use std::sync::Arc;
use tidings_socketio::SocketIo;

/// Every route of the one port. Who may use it is decided by the group that it is in.
pub fn router(app: Arc<App>, sockets: &SocketIo) -> Router {
    let everybody = Router::new()
        .route("/", on_get(assets::page))
        .route("/console/{file}", on_get(assets::console))
        .route("/socket.io/{file}", on_get(assets::client))
        .route("/api/health", on_get(health::original))
        .route("/health/live", on_get(health::live))
        .route("/health/ready", on_get(health::ready));
    let senders = Router::new()
        .route("/api/notifications/send", post(send_original))
        .route("/v1/notifications", post(send))
        .route("/v1/notifications/batch", post(batch))
        .route("/v1/notifications/{id}", on_get(get).patch(edit).delete(recall))
        .route("/v1/users/{user_id}/tokens", post(mint))
        .route("/v1/users/{user_id}/sessions", delete(end_sessions))
        .route_layer(from_fn_with_state(app.clone(), access::senders));
    let owners = Router::new()
        .route("/api/notifications/{user_id}", on_get(list_original))
        .route("/v1/users/{user_id}/inbox", on_get(inbox))
        .route("/v1/users/{user_id}/inbox/changes", on_get(changes))
        .route("/v1/users/{user_id}/inbox/counts", on_get(counts))
        .route("/v1/users/{user_id}/inbox/mark", post(mark))
        .route("/v1/users/{user_id}/inbox/ack", post(ack))
        .route("/v1/users/{user_id}/stream", on_get(stream))
        .route("/v1/users/{user_id}/devices", on_get(devices))
        .route_layer(from_fn_with_state(app.clone(), access::owners));
    Router::new()
        .merge(everybody)
        .merge(senders)
        .merge(owners)
        .merge(sockets.router())
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .with_state(app)
}
