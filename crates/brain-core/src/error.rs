//! The error source shared by the ports.

/// The source of a port error: whatever the adapter's driver returned.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
