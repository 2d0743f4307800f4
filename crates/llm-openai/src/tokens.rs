//! Counting tokens as OpenAI's models do, with the tables of tiktoken.
//!
//! A table takes some 0.4 s and 46 MiB (o200k) or 0.2 s and 25 MiB (cl100k). It is loaded once, on
//! a thread of its own, when a model that needs it is first counted for; until then, and wherever
//! it cannot be had, the estimate of the core answers. Nothing is fetched: the tables are in the
//! program.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use brain_core::llm::{Estimate, TokenCounter, Tokens};
use tiktoken_rs::{
    CoreBPE,
    tokenizer::{Tokenizer, get_tokenizer},
};

use crate::families;

/// Longest text that is counted; a longer one is estimated, since counting reads some 5 MB/s.
const MAX_TEXT: usize = 32 * 1024;
/// Bytes that are counted in one go: time grows faster than the length of a text without a space,
/// and tiktoken's pattern fails on a megabyte of blanks.
const PIECE: usize = 2 * 1024;
/// Tokens around each message, its role included.
const MESSAGE: u64 = 4;
/// Tokens that begin the answer.
const FRAME: u64 = 3;
/// What OpenAI tells a reasoning model before the conversation, at the most.
const REASONING_FRAME: u64 = 64;

/// The tables of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    o200k: Arc<Table>,
    cl100k: Arc<Table>,
}

/// One table, loaded when it is first asked for.
#[derive(Default)]
struct Table {
    asked: AtomicBool,
    loaded: OnceLock<CoreBPE>,
}

impl Tables {
    /// A counter for a model by its name, `official` on OpenAI's own server: elsewhere the name of
    /// a closed model may stand for any other.
    pub(crate) fn counter(&self, model: &str, official: bool) -> Arc<dyn TokenCounter> {
        let (table, load): (_, Load) = match encoding(model, official) {
            Some(Encoding::O200k) => (&self.o200k, || told(tiktoken_rs::o200k_base())),
            Some(Encoding::Cl100k) => (&self.cl100k, || told(tiktoken_rs::cl100k_base())),
            None => return Estimate::counter(),
        };
        if table.loaded.get().is_none() {
            table.begin_to_load(load);
            return Estimate::counter();
        }
        let frame = if families::is_reasoning(model) { REASONING_FRAME } else { FRAME };
        Arc::new(Counter { table: Arc::clone(table), frame })
    }
}

type Load = fn() -> Option<CoreBPE>;

/// The table, or a line in the log.
fn told<E: fmt::Display>(loaded: Result<CoreBPE, E>) -> Option<CoreBPE> {
    let warn = |error: &E| tracing::warn!(%error, "tokens are estimated: no table could be loaded");
    loaded.inspect_err(warn).ok()
}

impl Table {
    fn begin_to_load(self: &Arc<Self>, load: Load) {
        if self.asked.swap(true, Ordering::SeqCst) {
            return;
        }
        let table = Arc::clone(self);
        let work = move || {
            if let Some(loaded) = load() {
                drop(table.loaded.set(loaded));
            }
        };
        if let Err(error) = thread::Builder::new().name("token-table".to_owned()).spawn(work) {
            tracing::warn!(%error, "tokens are estimated: no thread could load the table");
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("loaded", &self.loaded.get().is_some()).finish()
    }
}

/// Which table a model was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    O200k,
    Cl100k,
}

fn encoding(model: &str, official: bool) -> Option<Encoding> {
    let name = families::family_name(model);
    // The weights of these are open: whoever serves that name serves that model.
    if !official && !name.starts_with("gpt-oss") {
        return None;
    }
    // A fine-tune is called `gpt-4o:me::id` here.
    match get_tokenizer(name.split(':').next().unwrap_or(&name))? {
        Tokenizer::O200kBase | Tokenizer::O200kHarmony => Some(Encoding::O200k),
        Tokenizer::Cl100kBase => Some(Encoding::Cl100k),
        Tokenizer::P50kBase | Tokenizer::R50kBase | Tokenizer::P50kEdit | Tokenizer::Gpt2 => None,
    }
}

/// Counts with a table that is there.
#[derive(Debug)]
struct Counter {
    table: Arc<Table>,
    frame: u64,
}

impl TokenCounter for Counter {
    fn is_exact(&self) -> bool {
        true
    }

    fn text(&self, text: &str) -> Tokens {
        match self.table.loaded.get() {
            Some(table) if text.len() <= MAX_TEXT => {
                let count: usize = Pieces(text).map(|it| table.count_ordinary(it)).sum();
                Tokens::exact(count as u64)
            }
            Some(_) | None => Estimate.text(text),
        }
    }

    fn message(&self) -> u64 {
        MESSAGE
    }

    fn frame(&self, _has_system: bool) -> u64 {
        self.frame
    }
}

/// A text in pieces of at most [`PIECE`] bytes, cut before a space where there is one: a token
/// hardly ever spans such a cut, and each other cut adds one token at the most.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.floor_char_boundary(PIECE);
        let (piece, rest) = self.0.split_at_checked(end)?;
        let cut = if rest.is_empty() { None } else { piece.rfind(' ').filter(|it| *it > 0) };
        let (piece, rest) = self.0.split_at_checked(cut.unwrap_or(end))?;
        self.0 = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests;
