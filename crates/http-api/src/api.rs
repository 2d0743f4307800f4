//! The surface as a whole: every route in one list, and the state that they share.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, delete, get, post},
};
use brain_core::brain::Brain;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    about, body, chat, complete, config::ApiConfig, configuration, edge, error::ApiError, memory,
    models, query, server,
};

/// What every handler shares; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) brain: Brain,
    pub(crate) config: Arc<ApiConfig>,
    /// A permit a request.
    pub(crate) requests: Arc<Semaphore>,
    /// A permit a byte of a request's body.
    pub(crate) held_bytes: Arc<Semaphore>,
    /// How many imports there are, and whose turn it is.
    pub(crate) imports: Arc<memory::Imports>,
    /// Whose turn it is to fork a session.
    pub(crate) forks: Arc<memory::Forks>,
    /// What can be asked for.
    pub(crate) listed: Arc<models::Listed>,
    /// Cancelled once the service is to end.
    pub(crate) draining: CancellationToken,
    /// WebSockets, which no longer belong to the connection they came on.
    pub(crate) sockets: TaskTracker,
}

/// A path, and what is done there.
type Route = (&'static str, fn() -> MethodRouter<App>);

/// Every route; `GET /` lists their paths.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/", || get(about::front_page)),
        ("/chat", || post(chat::post)),
        ("/chat/ws", || get(chat::socket)),
        ("/chat/turns/{id}", || get(chat::turn)),
        ("/chat/turns/{id}/events", || get(chat::events)),
        ("/chat/turns/{id}/cancel", || post(chat::cancel)),
        ("/memory", || delete(memory::forget_all)),
        ("/memory/sessions", || {
            get(memory::list).post(memory::create).patch(memory::patch).delete(memory::forget)
        }),
        ("/memory/sessions/{id}", || get(memory::read).patch(memory::patch).delete(memory::forget)),
        ("/memory/sessions/{id}/entries", || get(memory::entries)),
        ("/memory/sessions/{id}/entries/{seq}", || delete(memory::forget_entry)),
        ("/memory/sessions/{id}/fork", || post(memory::fork)),
        ("/memory/forgotten", || get(memory::pending)),
        ("/memory/forgotten/{id}", || get(memory::pending)),
        ("/memory/search", || get(memory::search)),
        ("/memory/export", || get(memory::export)),
        ("/memory/import", || post(memory::import)),
        ("/complete", || post(complete::post)),
        ("/config", || get(configuration::read).patch(configuration::patch)),
        ("/models", || get(models::models)),
        ("/health/live", || get(about::live)),
        ("/health/ready", || get(about::ready)),
    ]
}

/// The HTTP surface of one brain.
#[derive(Clone, Debug)]
pub struct Api {
    app: App,
}

impl Api {
    /// A surface that is not served yet.
    #[must_use]
    pub fn new(brain: Brain, config: ApiConfig) -> Self {
        let app = App {
            brain,
            requests: Arc::new(Semaphore::new(config.max_requests)),
            held_bytes: Arc::new(Semaphore::new(config.max_held_bytes)),
            imports: Arc::default(),
            forks: Arc::default(),
            listed: Arc::default(),
            config: Arc::new(config),
            draining: CancellationToken::new(),
            sockets: TaskTracker::new(),
        };
        Self { app }
    }

    /// Every route, behind everything that a request passes first.
    pub fn router(&self) -> Router {
        let add = |router: Router<App>, (path, methods): Route| router.route(path, methods());
        let routes = routes().into_iter().fold(Router::new(), add);
        routes
            .route_layer(middleware::from_fn_with_state(self.app.clone(), body::refuse_unexpected))
            .route_layer(middleware::from_fn(query::refuse_unknown_fields))
            .fallback(unknown_route)
            .method_not_allowed_fallback(wrong_method)
            .with_state(self.app.clone())
            .layer(DefaultBodyLimit::disable())
            .layer(CatchPanicLayer::custom(edge::answer_panic))
            .layer(middleware::from_fn_with_state(self.app.clone(), edge::pass))
    }

    /// Serves until `shutdown`, and then until every open request has ended or
    /// [`ApiConfig::drain`] is over. Whoever wants running turns to end sooner drains the brain
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When the listener's own address cannot be told.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        server::serve(&self.app, self.router(), listener, shutdown).await
    }
}

async fn unknown_route() -> ApiError {
    ApiError::route_not_found()
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}
