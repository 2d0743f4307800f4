//! Where a URL leads; it opens nothing but the certificates that the URL names.
//!
//! The URL is taken apart by hand, since no parser of URLs knows several hosts. No error repeats a
//! part of it that may be a piece of a password.

use std::{fmt, fs, path::PathBuf};

use percent_encoding::percent_decode_str;
use redis::{ClientTlsConfig, TlsCertificates};

use super::url_error::UrlError;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A name and its password, either may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

/// What the servers are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// One server on TCP.
    Single,
    /// One server on a socket of this machine.
    Socket(PathBuf),
    /// Nodes of a cluster, any of which knows the others.
    Cluster,
    /// Sentinels that know where the master of this name is.
    Sentinel {
        /// The name of the master.
        master: String,
        /// How to log in at the sentinels; `login` is for the master.
        login: Login,
    },
}

/// Where a URL leads.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) topology: Topology,
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) login: Login,
    pub(super) database: i64,
    /// The certificates to use; `None` without TLS.
    pub(super) tls: Option<Certificates>,
}

/// The certificates of a URL with TLS: those that it names, else the public ones.
#[derive(Clone, Debug)]
pub(super) struct Certificates(pub(super) Option<TlsCertificates>);

/// A URL in its parts, still encoded.
struct Parts<'a> {
    scheme: String,
    login: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: Vec<(&'a str, String)>,
    fragment: &'a str,
}

/// What a scheme says.
#[derive(Clone, Copy)]
enum Kind {
    Server,
    Socket,
    Cluster,
    Sentinel,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        let mut parts = Parts::of(url.trim())?;
        let (kind, tls) = scheme(&parts.scheme)?;
        if matches!(kind, Kind::Socket) {
            return parts.socket();
        }
        if !parts.fragment.is_empty() && !matches!(kind, Kind::Sentinel) {
            return Err(UrlError::Fragment);
        }
        let kind = if parts.is_cluster(kind)? { Kind::Cluster } else { kind };
        let hosts =
            parts.hosts(if matches!(kind, Kind::Sentinel) { SENTINEL_PORT } else { PORT })?;
        let (topology, database) = parts.topology(kind)?;
        if matches!(topology, Topology::Single) && hosts.len() > 1 {
            return Err(UrlError::SeveralHosts);
        }
        if matches!(topology, Topology::Cluster) && database != 0 {
            return Err(UrlError::ClusterDatabase);
        }
        let login = parts.login()?;
        let tls = parts.certificates(tls)?;
        parts.finish()?;
        Ok(Self { topology, hosts, login, database, tls })
    }

    /// The same for people, without anything secret.
    pub(super) fn address(&self) -> String {
        let tls = if self.tls.is_some() { "rediss" } else { "redis" };
        let kind = match &self.topology {
            Topology::Socket(path) => return format!("unix://{}", path.display()),
            Topology::Single => "",
            Topology::Cluster => "-cluster",
            Topology::Sentinel { .. } => "-sentinel",
        };
        let hosts: Vec<String> = self.hosts.iter().map(host_and_port).collect();
        let master = match &self.topology {
            Topology::Sentinel { master, .. } => format!("/{master}"),
            Topology::Single | Topology::Socket(_) | Topology::Cluster => String::new(),
        };
        let database =
            if self.database == 0 { String::new() } else { format!("/{}", self.database) };
        format!("{tls}{kind}://{}{master}{database}", hosts.join(","))
    }
}

fn host_and_port((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What the scheme says of the servers, and whether they speak TLS.
fn scheme(scheme: &str) -> Result<(Kind, bool), UrlError> {
    Ok(match scheme {
        "redis" | "valkey" => (Kind::Server, false),
        "rediss" | "valkeys" => (Kind::Server, true),
        "unix" | "redis+unix" | "valkey+unix" => (Kind::Socket, false),
        "redis-cluster" | "redis+cluster" | "valkey-cluster" => (Kind::Cluster, false),
        "rediss-cluster" | "rediss+cluster" | "valkeys-cluster" => (Kind::Cluster, true),
        "redis-sentinel" | "redis+sentinel" | "valkey-sentinel" => (Kind::Sentinel, false),
        "rediss-sentinel" | "rediss+sentinel" | "valkeys-sentinel" => (Kind::Sentinel, true),
        _ => return Err(UrlError::Scheme),
    })
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        // An `@` after the hosts is the end of a password that was cut in two.
        if [path, query, fragment].iter().any(|it| it.contains('@')) {
            return Err(UrlError::Unencoded);
        }
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let pairs = query.split('&').filter(|it| !it.is_empty());
        let query = pairs.map(|it| {
            let (name, value) = it.split_once('=').unwrap_or((it, ""));
            Ok((name, decoded(value)?))
        });
        let query = query.collect::<Result<Vec<_>, UrlError>>()?;
        Ok(Self { scheme: scheme.to_ascii_lowercase(), login, hosts, path, query, fragment })
    }

    /// Takes the value of the first of these parameters that is there.
    fn take(&mut self, names: &[&str]) -> Option<String> {
        let index = self.query.iter().position(|(name, _)| names.contains(name))?;
        Some(self.query.swap_remove(index).1)
    }

    fn socket(mut self) -> Result<Target, UrlError> {
        let path = PathBuf::from(decoded(self.path)?);
        if !self.hosts.is_empty() || !path.is_absolute() || path.parent().is_none() {
            return Err(UrlError::SocketPath);
        }
        let user = self.take(&["user", "username"]);
        let password = self.take(&["pass", "password"]).map(Secret);
        let database = self.database("")?;
        self.finish()?;
        Ok(Target {
            topology: Topology::Socket(path),
            hosts: Vec::new(),
            login: Login { user, password },
            database,
            tls: None,
        })
    }

    fn is_cluster(&mut self, kind: Kind) -> Result<bool, UrlError> {
        match (kind, self.take(&["cluster"]).as_deref()) {
            (Kind::Cluster, None) | (Kind::Cluster | Kind::Server, Some("true" | "1")) => Ok(true),
            (Kind::Server | Kind::Sentinel, None) | (Kind::Server, Some("false" | "0")) => {
                Ok(false)
            }
            (Kind::Server | Kind::Socket | Kind::Cluster | Kind::Sentinel, _) => {
                Err(UrlError::ClusterParameter)
            }
        }
    }

    fn hosts(&self, default_port: u16) -> Result<Vec<(String, u16)>, UrlError> {
        let hosts = self.hosts.split(',').map(|it| host(it, default_port));
        hosts.collect()
    }

    fn topology(&mut self, kind: Kind) -> Result<(Topology, i64), UrlError> {
        let path = self.path.trim_matches('/');
        match kind {
            Kind::Server | Kind::Socket => Ok((Topology::Single, self.database(path)?)),
            Kind::Cluster => Ok((Topology::Cluster, self.database(path)?)),
            Kind::Sentinel => {
                let (first, rest) = path.split_once('/').unwrap_or((path, ""));
                let named = self.take(&["sentinelServiceName", "master"]);
                let fragment = decoded(self.fragment)?;
                let (master, database) = match named.or((!fragment.is_empty()).then_some(fragment))
                {
                    Some(master) => (master, path),
                    None => (decoded(first)?, rest),
                };
                let database = self.database(database)?;
                if master.is_empty() {
                    return Err(UrlError::NoMaster);
                }
                let user = self.take(&["sentinelUsername"]);
                let password = self.take(&["sentinelPassword"]).map(Secret);
                let login = Login { user, password };
                Ok((Topology::Sentinel { master, login }, database))
            }
        }
    }

    fn database(&mut self, path: &str) -> Result<i64, UrlError> {
        let parameter = self.take(&["db"]);
        let text = parameter.as_deref().unwrap_or(path);
        if text.is_empty() {
            return Ok(0);
        }
        text.parse().ok().filter(|it| *it >= 0).ok_or(UrlError::Database)
    }

    fn login(&self) -> Result<Login, UrlError> {
        let (user, password) = match self.login.split_once(':') {
            Some((user, password)) => (user, Some(Secret(decoded(password)?))),
            None => (self.login, None),
        };
        let user = (!user.is_empty()).then(|| decoded(user)).transpose()?;
        if user.is_some() && password.is_none() {
            return Err(UrlError::NoPassword);
        }
        Ok(Login { user, password: password.filter(|it| !it.0.is_empty()) })
    }

    fn certificates(&mut self, tls: bool) -> Result<Option<Certificates>, UrlError> {
        let authority = self.take(&["ssl_ca_certs"]);
        let certificate = self.take(&["ssl_certfile"]);
        let key = self.take(&["ssl_keyfile"]);
        let named = authority.is_some() || certificate.is_some() || key.is_some();
        if !tls {
            return if named { Err(UrlError::CertificatesWithoutTls) } else { Ok(None) };
        }
        let client_tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientTlsConfig {
                client_cert: pem("ssl_certfile", &certificate)?,
                client_key: pem("ssl_keyfile", &key)?,
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(UrlError::HalfACertificate),
        };
        let root_cert = authority.map(|it| pem("ssl_ca_certs", &it)).transpose()?;
        let given = named.then_some(TlsCertificates { client_tls, root_cert });
        Ok(Some(Certificates(given)))
    }

    /// Nothing may be left over.
    fn finish(self) -> Result<(), UrlError> {
        if self.query.is_empty() { Ok(()) } else { Err(UrlError::Parameter) }
    }
}

fn pem(parameter: &'static str, path: &str) -> Result<Vec<u8>, UrlError> {
    fs::read(path).map_err(|source| UrlError::File { parameter, source })
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Encoding)?;
    Ok(text.into_owned())
}

fn host(text: &str, default_port: u16) -> Result<(String, u16), UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(UrlError::Host)?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|it| *it != 0).ok_or(UrlError::Port)?,
        None if port.is_empty() => default_port,
        None => return Err(UrlError::Host),
    };
    let host = decoded(host)?;
    let strange = |it: char| it.is_whitespace() || it.is_control();
    if host.is_empty() || host.contains(strange) {
        return Err(UrlError::Host);
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests;
