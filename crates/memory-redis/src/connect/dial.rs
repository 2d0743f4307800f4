//! How connections are made and checked; it sends nothing of the store.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsMode,
    Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::SingleNodeRoutingInfo,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    config::RedisConfig,
    target::{Certificates, Login, Target, Topology},
    url_error::UrlError,
};

/// A connection that was idle for so long is asked whether it lives before something is sent on
/// it, so that a server's restart is no lost reply.
const CHECK_AFTER: Duration = Duration::from_millis(100);
/// How long it may take to say so.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// Calls in a row that a connection to a cluster may fail before it is made anew; by then it has
/// not healed itself.
const STRIKES: u8 = 3;

/// Makes connections.
pub(super) struct Dial {
    to: Servers,
    connect_timeout: Duration,
    /// Connections of an older generation are thrown away.
    generation: AtomicU64,
}

enum Servers {
    Single(deadpool_redis::Manager),
    Sentinel(Mutex<SentinelClient>, AsyncConnectionConfig),
    Cluster(ClusterClient),
}

/// A connection, and what is known of it.
pub(super) struct Link {
    wire: Wire,
    generation: u64,
    /// A command was sent and its reply was not read.
    waiting: bool,
    strikes: u8,
}

enum Wire {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Dial {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, UrlError> {
        // A driver that is built with several providers must be told which; it is the only one here.
        drop(rustls::crypto::ring::default_provider().install_default());
        let target = &config.target;
        let to = match &target.topology {
            Topology::Single | Topology::Socket(_) => single(config),
            Topology::Cluster => cluster(config),
            Topology::Sentinel { master, login } => sentinel(config, master, login),
        };
        let to = to.map_err(|_| UrlError::Certificates)?;
        let connect_timeout = config.connect_timeout;
        Ok(Self { to, connect_timeout, generation: AtomicU64::new(0) })
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.to, Servers::Cluster(_))
    }

    pub(super) fn is_sentinel(&self) -> bool {
        matches!(self.to, Servers::Sentinel(..))
    }

    /// Lets no connection that is as old as `link` be used again.
    pub(super) fn retire(&self, link: &Link) {
        self.retire_generation(link.generation);
    }

    fn retire_generation(&self, generation: u64) {
        let next = generation.wrapping_add(1);
        let order = Ordering::Relaxed;
        // Whoever comes second finds newer ones, which may be well.
        let _newer = self.generation.compare_exchange(generation, next, order, order);
    }

    async fn connect(&self) -> RedisResult<Wire> {
        let mut wire = match &self.to {
            Servers::Single(manager) => Wire::Server(manager.create().await?),
            Servers::Sentinel(client, config) => {
                let mut client = client.lock().await;
                Wire::Server(client.get_async_connection_with_config(config).await?)
            }
            Servers::Cluster(client) => Wire::Cluster(client.get_async_connection().await?),
        };
        // Nothing may have been said so far: a server that hangs or loads is told apart here.
        wire.check().await?;
        Ok(wire)
    }
}

impl Manager for Dial {
    type Type = Link;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Link> {
        let generation = self.generation.load(Ordering::Relaxed);
        match timeout(self.connect_timeout, self.connect()).await {
            Ok(wire) => Ok(Link { wire: wire?, generation, waiting: false, strikes: 0 }),
            Err(_elapsed) => Err(timed_out()),
        }
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> RecycleResult<RedisError> {
        let is_server = matches!(link.wire, Wire::Server(_));
        let worn = (is_server && link.waiting) || link.strikes >= STRIKES;
        if worn || link.generation != self.generation.load(Ordering::Relaxed) {
            return Err(RecycleError::message("the connection is not to be used again"));
        }
        if is_server && metrics.last_used() > CHECK_AFTER {
            let answer = timeout(CHECK_TIMEOUT, link.wire.check()).await;
            answer.unwrap_or_else(|_| Err(timed_out())).inspect_err(|_| self.retire(link))?;
        }
        link.waiting = false;
        Ok(())
    }
}

impl Wire {
    /// Asks whether the server is there and ready. The driver has asked each node of a cluster.
    async fn check(&mut self) -> RedisResult<()> {
        match self {
            Self::Server(connection) => {
                redis::cmd("PING").query_async::<Value>(connection).await.map(drop)
            }
            Self::Cluster(_) => Ok(()),
        }
    }
}

impl Link {
    /// Sends a command and reads its reply.
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.waiting = true;
        self.strikes = self.strikes.saturating_add(1);
        let reply = match &mut self.wire {
            Wire::Server(connection) => connection.req_packed_command(command).await,
            Wire::Cluster(connection) => connection.req_packed_command(command).await,
        };
        self.ended(reply).and_then(Value::extract_error)
    }

    /// The same on the node of a cluster that is about to get the slot.
    pub(super) async fn ask(&mut self, command: Cmd, node: (String, u16)) -> RedisResult<Value> {
        let Wire::Cluster(connection) = &mut self.wire else { return self.send(&command).await };
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command);
        let (host, port) = node;
        let route = SingleNodeRoutingInfo::ByAddress { host, port };
        let replies = connection.route_pipeline(both, 1, 1, route).await;
        let reply = replies.map(|it| it.into_iter().next().unwrap_or(Value::Nil));
        self.ended(reply).and_then(Value::extract_error)
    }

    fn ended(&mut self, reply: RedisResult<Value>) -> RedisResult<Value> {
        let is_moving = |it: &RedisError| it.kind() == ErrorKind::Server(ServerErrorKind::TryAgain);
        if reply.as_ref().map_or_else(is_moving, |_| true) {
            self.waiting = false;
            self.strikes = 0;
        }
        reply
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// The driver's own limits: each call has its own, so the driver needs none for replies.
fn driver_config(config: &RedisConfig) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(None)
}

fn tcp_settings(config: &RedisConfig) -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(30)));
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(config.command_timeout);
    settings
}

fn single(config: &RedisConfig) -> RedisResult<Servers> {
    let target = &config.target;
    let addr = match (&target.topology, target.hosts.first()) {
        (Topology::Socket(path), _) => ConnectionAddr::Unix(path.clone()),
        (_, Some(host)) => address(host, target.tls.is_some()),
        (_, None) => return Err((ErrorKind::InvalidClientConfig, "no host").into()),
    };
    let info = with_login(addr, target)?.set_tcp_settings(tcp_settings(config));
    let info = match &target.tls {
        Some(Certificates(Some(certificates))) => {
            Client::build_with_tls(info, certificates.clone())?.get_connection_info().clone()
        }
        Some(Certificates(None)) | None => info,
    };
    deadpool_redis::Manager::new_with_config(info, driver_config(config)).map(Servers::Single)
}

fn cluster(config: &RedisConfig) -> RedisResult<Servers> {
    let target = &config.target;
    let nodes = target.hosts.iter().map(|it| with_login(address(it, target.tls.is_some()), target));
    let mut builder = ClusterClientBuilder::new(nodes.collect::<RedisResult<Vec<_>>>()?)
        // The driver would repeat a write whose reply was lost.
        .retries(0)
        .connection_timeout(config.connect_timeout)
        .response_timeout(config.command_timeout)
        .overall_response_timeout(None)
        .tcp_settings(tcp_settings(config));
    if let Some(Certificates(Some(certificates))) = &target.tls {
        builder = builder.certs(certificates.clone());
    }
    builder.build().map(Servers::Cluster)
}

fn sentinel(config: &RedisConfig, master: &str, login: &Login) -> RedisResult<Servers> {
    let target = &config.target;
    let addresses = target.hosts.iter().map(|it| address(it, target.tls.is_some()));
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(target.database)
        .set_client_to_redis_tcp_settings(tcp_settings(config))
        .set_client_to_sentinel_tcp_settings(tcp_settings(config));
    if let Some(user) = &target.login.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &target.login.password {
        builder = builder.set_client_to_redis_password(&password.0);
    }
    if let Some(user) = &login.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &login.password {
        builder = builder.set_client_to_sentinel_password(&password.0);
    }
    if let Some(Certificates(given)) = &target.tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        if let Some(certificates) = given {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
    }
    Ok(Servers::Sentinel(Mutex::new(builder.build()?), driver_config(config)))
}

fn address((host, port): &(String, u16), tls: bool) -> ConnectionAddr {
    if tls {
        let (host, port) = (host.clone(), *port);
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host.clone(), *port)
    }
}

fn with_login(addr: ConnectionAddr, target: &Target) -> RedisResult<ConnectionInfo> {
    // `CLIENT SETINFO` is younger than Redis 6.2.
    let mut settings =
        RedisConnectionInfo::default().set_skip_set_lib_name().set_db(target.database);
    if let Some(user) = &target.login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &target.login.password {
        settings = settings.set_password(&password.0);
    }
    Ok(addr.into_connection_info()?.set_redis_settings(settings))
}
