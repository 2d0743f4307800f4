//! What the store says when Redis fails.
