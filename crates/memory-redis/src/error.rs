//! What Redis answers when it does not do what it was asked, as errors of the port.
//!
//! It is the one place that reads error codes. A script's own refusals are replies, not errors.

use std::{error::Error, fmt};

use brain_core::memory::{MemoryError, MemoryErrorKind};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What may have become of a command whose reply did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Redis never got it.
    No,
    /// Redis may have got it, and it changes nothing.
    Read,
    /// Redis may have done it.
    Write,
}

/// What an error asks of the one who sent the command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Send the script's text.
    NoScript,
    /// The slot is on its way to this node; ask there, once.
    Ask((String, u16)),
    /// The slot is elsewhere.
    Moved,
    /// The slot's keys are on their way.
    TryAgain,
    /// The cluster's driver had no connection to the node, and sent nothing.
    NoNode,
    /// The server has become a replica.
    ReadOnly,
    /// The connection ended, or what came is no reply.
    Broken,
    /// Nothing helps.
    Other,
}

impl Answer {
    pub(crate) fn of(error: &RedisError) -> Self {
        match Code::of(error) {
            Code::NoScript => Self::NoScript,
            Code::Ask => node_of(error).map_or(Self::TryAgain, Self::Ask),
            Code::Moved => Self::Moved,
            Code::TryAgain => Self::TryAgain,
            Code::NoNode => Self::NoNode,
            Code::ReadOnly => Self::ReadOnly,
            Code::Broken => Self::Broken,
            Code::Refused
            | Code::Loading
            | Code::Busy
            | Code::ClusterDown
            | Code::MasterDown
            | Code::Full
            | Code::DiskFailed
            | Code::NoReplicas
            | Code::TooManyClients
            | Code::NoMaster
            | Code::WrongType
            | Code::NoLogin
            | Code::WrongLogin
            | Code::NoPermission
            | Code::Protected
            | Code::CrossSlot
            | Code::Tls
            | Code::Other => Self::Other,
        }
    }
}

/// Where `ASK` points.
fn node_of(error: &RedisError) -> Option<(String, u16)> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

/// A call that came to nothing.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: MemoryErrorKind,
    says: &'static str,
    /// The command that the user of `REDIS_URL` may not send, where Redis named it.
    forbidden: Option<String>,
    address: String,
    source: Option<RedisError>,
}

impl Fault {
    /// The error of one command, that was sent to a cluster or to one server.
    pub(crate) fn of(error: RedisError, sent: Sent, cluster: bool) -> Self {
        let code = Code::of(&error);
        let (kind, says) = match (code, sent) {
            (Code::Broken, Sent::Write) => (
                MemoryErrorKind::OutcomeUnknown,
                "the connection ended before the reply to a change came",
            ),
            (Code::Broken, Sent::Read) => {
                (MemoryErrorKind::Unavailable, "the connection ended before the reply came")
            }
            (Code::Broken, Sent::No) if error.kind() == ErrorKind::Parse => (
                MemoryErrorKind::Unavailable,
                "what answers there is no Redis: look at host and port in REDIS_URL",
            ),
            (Code::Broken, Sent::No) => (MemoryErrorKind::Unavailable, "it cannot be reached"),
            (code, Sent::No | Sent::Read | Sent::Write) => code.meaning(cluster),
        };
        let forbidden = if code == Code::NoPermission { forbidden(&error) } else { None };
        Self { kind, says, forbidden, address: String::new(), source: Some(error) }
    }

    fn without_reply(kind: MemoryErrorKind, says: &'static str) -> Self {
        Self { kind, says, forbidden: None, address: String::new(), source: None }
    }

    /// The time of the call was over.
    pub(crate) fn timed_out(sent: Sent) -> Self {
        let (kind, says) = match sent {
            Sent::No => (MemoryErrorKind::Unavailable, "it could not be asked in time"),
            Sent::Read => (MemoryErrorKind::Unavailable, "it did not reply in time"),
            Sent::Write => {
                (MemoryErrorKind::OutcomeUnknown, "it did not reply to a change in time")
            }
        };
        Self::without_reply(kind, says)
    }

    /// A cluster sent the command from node to node.
    pub(crate) fn restless() -> Self {
        let says = "its nodes do not agree which of them has the key; see CLUSTER NODES";
        Self::without_reply(MemoryErrorKind::Unavailable, says)
    }

    /// Whether nothing will do until somebody changes `REDIS_URL`, or what Redis allows.
    fn is_lasting(&self) -> bool {
        let Some(error) = &self.source else { return false };
        match Code::of(error) {
            Code::NoLogin | Code::WrongLogin | Code::Protected | Code::Tls => true,
            Code::Broken => error.kind() == ErrorKind::Parse,
            Code::Refused
            | Code::NoNode
            | Code::NoScript
            | Code::Moved
            | Code::Ask
            | Code::TryAgain
            | Code::ClusterDown
            | Code::CrossSlot
            | Code::MasterDown
            | Code::NoMaster
            | Code::ReadOnly
            | Code::NoReplicas
            | Code::Loading
            | Code::Busy
            | Code::TooManyClients
            | Code::Full
            | Code::DiskFailed
            | Code::WrongType
            | Code::NoPermission
            | Code::Other => false,
        }
    }

    /// Whether an error says that the user of `REDIS_URL` may not do this.
    pub(crate) fn is_forbidden(error: &MemoryError) -> bool {
        let fault = error.source().and_then(|it| it.downcast_ref::<Self>());
        let said = fault.and_then(|it| it.source.as_ref());
        said.is_some_and(|it| Code::of(it) == Code::NoPermission)
    }

    /// The same, naming the server.
    pub(crate) fn at(self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self }
    }

    /// The error of the port: `operation` failed by this.
    pub(crate) fn during(self, operation: &'static str) -> MemoryError {
        MemoryError::new(operation, self.kind).with_source(self)
    }
}

/// Whether an error of this store says that Redis is there and does not let codexd in: a password, a
/// certificate or an address is wrong. A retry may succeed, once somebody has changed `REDIS_URL` or
/// what Redis allows.
#[must_use]
pub fn is_locked_out(error: &MemoryError) -> bool {
    let fault = error.source().and_then(|it| it.downcast_ref::<Fault>());
    fault.is_some_and(Fault::is_lasting)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}: {}", self.address, self.says)?;
        match &self.forbidden {
            Some(command) => write!(f, "; it refused {command}"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The driver's error repeats the words of its cause.
        self.source.as_ref().map(|it| it.source().unwrap_or(it))
    }
}

/// The error codes that mean something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Broken,
    Refused,
    NoNode,
    NoScript,
    Moved,
    Ask,
    TryAgain,
    ClusterDown,
    CrossSlot,
    MasterDown,
    NoMaster,
    ReadOnly,
    NoReplicas,
    Loading,
    Busy,
    TooManyClients,
    Full,
    DiskFailed,
    WrongType,
    NoLogin,
    WrongLogin,
    NoPermission,
    Protected,
    Tls,
    Other,
}

/// What replies begin with. Redis 6.2 wraps the error of a command inside a script in a sentence.
const CODES: &[(&str, Code)] = &[
    ("OOM", Code::Full),
    ("READONLY", Code::ReadOnly),
    ("WRONGTYPE", Code::WrongType),
    ("MISCONF", Code::DiskFailed),
    ("NOREPLICAS", Code::NoReplicas),
    ("MASTERDOWN", Code::MasterDown),
    ("NOPERM", Code::NoPermission),
    ("CLUSTERDOWN", Code::ClusterDown),
    ("TRYAGAIN", Code::TryAgain),
    ("LOADING", Code::Loading),
    ("BUSY", Code::Busy),
    ("NOAUTH", Code::NoLogin),
    ("WRONGPASS", Code::WrongLogin),
    ("DENIED", Code::Protected),
];

impl Code {
    fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(kind) => Self::of_server(kind, error),
            ErrorKind::Io if error.is_connection_refusal() => Self::Refused,
            ErrorKind::Io | ErrorKind::Parse => Self::of_broken(error),
            ErrorKind::Extension => named(error.code().unwrap_or_default()).unwrap_or(Self::Other),
            ErrorKind::AuthenticationFailed => Self::of_login(error),
            ErrorKind::ClusterConnectionNotFound => Self::NoNode,
            ErrorKind::MasterNameNotFoundBySentinel => Self::NoMaster,
            ErrorKind::Client => Self::Tls,
            _ => Self::Other,
        }
    }

    fn of_server(kind: ServerErrorKind, error: &RedisError) -> Self {
        match kind {
            ServerErrorKind::NoScript => Self::NoScript,
            ServerErrorKind::Moved => Self::Moved,
            ServerErrorKind::Ask => Self::Ask,
            ServerErrorKind::TryAgain => Self::TryAgain,
            ServerErrorKind::ClusterDown => Self::ClusterDown,
            ServerErrorKind::CrossSlot => Self::CrossSlot,
            ServerErrorKind::MasterDown => Self::MasterDown,
            ServerErrorKind::ReadOnly => Self::ReadOnly,
            ServerErrorKind::BusyLoading => Self::Loading,
            ServerErrorKind::NoPerm => Self::NoPermission,
            ServerErrorKind::ResponseError => Self::of_text(error.detail().unwrap_or_default()),
            _ => Self::Other,
        }
    }

    /// The code inside a sentence of `ERR`.
    fn of_text(text: &str) -> Self {
        if text.starts_with("max number of clients") {
            return Self::TooManyClients;
        }
        if text.starts_with("Client sent AUTH, but no password is set")
            || text.starts_with("AUTH <password> called without any password")
        {
            return Self::WrongLogin;
        }
        // Redis 7, then 6.2, of a command inside a script.
        if text.starts_with("ACL failure in script")
            || text.contains("The user executing the script")
        {
            return Self::NoPermission;
        }
        let words = text.split_whitespace().map(|it| it.trim_start_matches('-'));
        let inside = text.contains("user_script").then(|| words.filter_map(named).next());
        inside.flatten().unwrap_or(Self::Other)
    }

    /// The cluster's driver packs the first node's error into the text of its own.
    fn of_broken(error: &RedisError) -> Self {
        let text = error.detail().unwrap_or_default();
        let inside = CODES.iter().find(|(name, _)| text.contains(name)).map(|(_, code)| *code);
        let error = error.to_string();
        if ["certificate", "corrupt message"].iter().any(|it| error.contains(it)) {
            Self::Tls
        } else if error.contains("Password authentication failed") {
            Self::WrongLogin
        } else {
            inside.unwrap_or(Self::Broken)
        }
    }

    fn of_login(error: &RedisError) -> Self {
        let text = error.to_string();
        let inside = CODES.iter().find(|(name, _)| text.contains(name)).map(|(_, code)| *code);
        inside.unwrap_or(Self::WrongLogin)
    }

    /// What it means, if it is no broken connection.
    fn meaning(self, cluster: bool) -> (MemoryErrorKind, &'static str) {
        use MemoryErrorKind::{Backend, Corrupt, Full, Unavailable};
        match self {
            Self::Broken | Self::Refused => (Unavailable, "it cannot be reached"),
            Self::NoNode => (Unavailable, "the node that has the key cannot be reached"),
            Self::NoScript => (Backend, "it forgot a script while it ran it"),
            Self::Moved | Self::Ask if cluster => {
                (Unavailable, "the node that has the key cannot be reached")
            }
            Self::Moved | Self::Ask => (
                Unavailable,
                "it is a node of a cluster: write REDIS_URL=redis-cluster://HOST:PORT",
            ),
            Self::TryAgain => (Unavailable, "it is moving the key to another node"),
            Self::ClusterDown => (Unavailable, "the cluster is down; see CLUSTER INFO"),
            Self::CrossSlot => (Backend, "a command names keys of several nodes of the cluster"),
            Self::MasterDown => (Unavailable, "it is a replica that has lost its master"),
            Self::NoMaster => {
                (Unavailable, "no sentinel knows a living master of the name in REDIS_URL")
            }
            Self::ReadOnly => (Unavailable, "it is a replica, and takes no changes"),
            Self::NoReplicas => (Unavailable, "it takes no changes while it has too few replicas"),
            Self::Loading => (Unavailable, "it is loading its data"),
            Self::Busy => (Unavailable, "it is busy with somebody's script; see SCRIPT KILL"),
            Self::TooManyClients => (Unavailable, "it has too many clients; raise its maxclients"),
            Self::Full => (Full, "it is full: raise its maxmemory, or forget sessions"),
            Self::DiskFailed => {
                (Unavailable, "it takes no changes, since it could not write its snapshot to disk")
            }
            Self::WrongType => {
                (Corrupt, "a key of ours holds a value of another type; somebody else wrote it")
            }
            Self::NoLogin => {
                (Unavailable, "it wants a password: write REDIS_URL=redis://:PASSWORD@HOST:PORT")
            }
            Self::WrongLogin => (
                Unavailable,
                "it refuses the name or the password of REDIS_URL: write those that it knows, or \
                 give it these with ACL SETUSER",
            ),
            Self::NoPermission => (
                Unavailable,
                "its ACL keeps the user of REDIS_URL from a command or key that is needed: allow it \
                 with ACL SETUSER",
            ),
            Self::Protected => (
                Unavailable,
                "it is in protected mode: give it a password, and write it into REDIS_URL",
            ),
            Self::Tls => (
                Unavailable,
                "TLS failed: check the name in REDIS_URL, that its port speaks TLS, and that \
                 ssl_ca_certs names the authority of its certificate",
            ),
            Self::Other => (Backend, "it answered with an error"),
        }
    }
}

/// The command that a reply says the user may not send, as Redis documents it.
fn forbidden(error: &RedisError) -> Option<String> {
    let text = error.to_string();
    let (_, rest) = text.split_once("to run the '")?;
    let name = rest.split_once('\'')?.0;
    let is_name = |it: u8| it.is_ascii_alphanumeric() || it == b'|' || it == b'-';
    name.bytes().all(is_name).then(|| name.to_uppercase().replace('|', " "))
}

fn named(word: &str) -> Option<Code> {
    CODES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests;
