//! The brain of `codexd`: the domain, the three ports and the turn that joins them.
//!
//! This crate says *what* a memory, a language model and a tool are, and what happens between a
//! person's message and its answer. It never says *how* anything is stored, sent or shown: no
//! sockets, no files, no clock and no runtime of its own.
//!
//! | module | what it holds |
//! |---|---|
//! | [`chat`], [`ids`], [`json`], [`time`] | the vocabulary |
//! | [`memory`] | the memory port, and [`memory::InMemoryStore`] |
//! | [`recall`] | what can be found, and how well it fits |
//! | [`llm`] | the language-model port, and [`llm::Router`] |
//! | [`settings`] | what changes at run time, as a port |
//! | [`tool`] | the tool port |
//! | [`task`] | spawning as a port |
//! | [`brain`] | [`brain::Brain`]: the ports joined into turns |
//! | [`window`] | which messages a model is shown |

pub mod brain;
pub mod chat;
mod error;
pub mod ids;
pub mod json;
pub mod llm;
pub mod memory;
pub mod recall;
pub mod settings;
pub mod task;
pub mod time;
pub mod tool;
pub mod window;

pub use crate::error::BoxError;
