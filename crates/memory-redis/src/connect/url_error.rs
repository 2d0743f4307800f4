//! What is wrong with a URL, in sentences that say what to do and repeat nothing of it.

use std::io;

/// A URL does not say where Redis is.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The beginning is none that is known.
    #[error(
        "a Redis URL begins with redis://, rediss:// (TLS), unix://, redis-cluster:// or \
         redis-sentinel://; write redis://HOST:6379"
    )]
    Scheme,
    /// The name or the password holds a character that cuts the URL in two.
    #[error("the password of the Redis URL holds one of / ? # @; write it as %2F %3F %23 %40")]
    Unencoded,
    /// What `%` and digits stand for is no UTF-8.
    #[error("the Redis URL holds percent-encoding that is no UTF-8; write a % of its own as %25")]
    Encoding,
    /// There is no host, or it is none.
    #[error("the Redis URL names no host; write redis://HOST:6379, IPv6 in [ ]")]
    Host,
    /// The port is no port.
    #[error(
        "the port of the Redis URL is no number from 1 to 65535; a password stands before the host: \
         redis://:PASSWORD@HOST:6379"
    )]
    Port,
    /// There is a name, but no password.
    #[error(
        "the Redis URL has a user name without a password; write redis://USER:PASSWORD@HOST, and \
         redis://:PASSWORD@HOST without a name"
    )]
    NoPassword,
    /// The database is no number.
    #[error("the database of the Redis URL is no number; write redis://HOST:6379/0")]
    Database,
    /// A cluster has no other databases.
    #[error("Redis Cluster has database 0 only; leave the number out of the Redis URL")]
    ClusterDatabase,
    /// Several hosts, and nothing that says what they are.
    #[error(
        "the Redis URL names several hosts; begin it with redis-cluster:// or with \
         redis-sentinel:// to say what they are"
    )]
    SeveralHosts,
    /// `cluster` has no meaning here.
    #[error("cluster= in the Redis URL is true or false, and goes with redis:// or rediss://")]
    ClusterParameter,
    /// No master is named.
    #[error(
        "the Redis URL names no master; write redis-sentinel://HOST:26379/NAME, with the name that \
         the sentinels monitor"
    )]
    NoMaster,
    /// The path of the socket is missing.
    #[error("the Redis URL names no socket; write unix:///PATH/TO/redis.sock")]
    SocketPath,
    /// The fragment asks for something that there is not.
    #[error(
        "the Redis URL ends in #…, which has no meaning here: certificates are always checked; name \
         the authority of your own with rediss://HOST?ssl_ca_certs=FILE"
    )]
    Fragment,
    /// A parameter is none that is known.
    #[error(
        "the Redis URL has a parameter that is not known; there are cluster, db, master, \
         sentinelUsername, sentinelPassword, ssl_ca_certs, ssl_certfile, ssl_keyfile, and user and \
         pass for sockets"
    )]
    Parameter,
    /// Certificates, but no TLS.
    #[error("ssl_… in the Redis URL goes with TLS; begin the URL with rediss://")]
    CertificatesWithoutTls,
    /// A certificate without its key, or a key without its certificate.
    #[error("ssl_certfile and ssl_keyfile of the Redis URL go together; name both")]
    HalfACertificate,
    /// A file of certificates cannot be read.
    #[error("the file that {parameter} of the Redis URL names cannot be read")]
    File {
        /// Which parameter names it.
        parameter: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The files that the URL names hold no certificates, or the driver refuses them.
    #[error("the files that ssl_… of the Redis URL names hold no certificates in PEM")]
    Certificates,
    /// The pool has no connection.
    #[error("a pool of Redis connections needs one connection at least")]
    EmptyPool,
}
