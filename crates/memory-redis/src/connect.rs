//! Connections: where Redis is, how a script runs there, and how long it may take.
