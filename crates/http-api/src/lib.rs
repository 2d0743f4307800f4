//! The HTTP surface: routes, Server-Sent Events, WebSocket; speaks to ports only.
