//! The clock and the spawner of brain-core on tokio.
