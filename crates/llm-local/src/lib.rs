//! A small language model and embeddings inside the process, on candle.
//!
//! [`LocalGateway`] implements [`brain_core::llm::LlmGateway`] for GGUF files of the llama
//! architecture with SmolLM's tokenizer (SmolLM2-135M-Instruct is the one it is made for) and for
//! sentence transformers (all-MiniLM-L6-v2). Nothing is loaded before it is first asked for.
//! It downloads nothing, calls no tools and reads no pictures: it is the default that works with
//! nothing configured, not a rival of a model server.
//!
//! | module | what it holds |
//! |---|---|
//! | `gateway` | the port, and the two lanes behind it |
//! | `lane` | one OS thread and its bounded queue |
//! | `last_load` | how loading the chat model failed, until another file is there |
//! | `request` | a chat request, checked |
//! | `chat_model` | loading, prompt evaluation, generation |
//! | `llama` | the forward pass with a cache that can be rolled back |
//! | `weights` | GGUF files, converted once to a fast format and cached |
//! | `tokenizer`, `template`, `decode` | text to tokens, conversation to text, bytes to text |
//! | `tokens` | counting as the loaded model does |
//! | `embedder` | sentence embeddings |

mod chat_model;
mod config;
mod decode;
mod embedder;
mod error;
mod gateway;
mod lane;
mod last_load;
mod llama;
#[cfg(test)]
mod real_model;
mod request;
mod template;
mod threads;
mod tokenizer;
mod tokens;
mod weights;

pub use crate::{
    config::LocalConfig,
    gateway::{LocalGateway, LocalStatus, ModelStatus, chat_id},
    threads::{ThreadsError, default_threads, limit_threads},
};
