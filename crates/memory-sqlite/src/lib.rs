//! Long-term memory in SQLite: one writer thread with group commit, pooled readers.
