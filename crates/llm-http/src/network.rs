//! How a client reaches its server, as an operator decides it.
//!
//! It connects to nothing.

use crate::{Proxies, Roots};

/// How a client reaches its server. The default goes there directly, believes Mozilla's
/// certificate authorities and lets the server choose the protocol.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The proxies on the way.
    pub proxies: Proxies,
    /// The certificate authorities to believe.
    pub roots: Roots,
    /// The protocol to speak.
    pub protocol: Protocol,
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 where a secure server takes it (ALPN), else HTTP/1.1.
    #[default]
    Negotiated,
    /// HTTP/2 at once, without asking; over plain `http:` too, except through a proxy, which
    /// reads such requests itself and is spoken to in HTTP/1.1.
    Http2,
}
