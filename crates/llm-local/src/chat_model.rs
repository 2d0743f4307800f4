//! The chat model: loading it, reading a conversation, writing an answer token by token.
//!
//! It runs on its lane's thread and is never shared.

use std::{
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, Finish, FinishReason, LlmError, Progress},
};
use candle_core::Tensor;
use candle_transformers::{generation::LogitsProcessor, utils::apply_repeat_penalty};

use crate::{
    decode::TextDecoder,
    error,
    lane::{Ended, Outlet, Worker},
    last_load::LastLoad,
    llama::Llama,
    request::Ask,
    template::ChatTemplate,
    tokenizer::{self, Tokenizer},
    tokens::{Counter, LoadedCounter},
    weights::{ModelFile, Step},
};

/// Prompt tokens that are read in one go; more are faster until the matrices fill the kernels.
const CHUNK: usize = 64;
/// How much less likely what was just said is: 1 would not be, 1.1 is the usual value of local
/// engines (Ollama's `repeat_penalty`).
const REPEAT_PENALTY: f32 = 1.1;
/// How many tokens back counts as just said, within the answer.
const REPEAT_WINDOW: usize = 64;
/// Loading tells this often how far it is.
const REPORTS: u64 = 40;

/// Where the model is and how far it may go.
#[derive(Clone, Debug)]
pub(crate) struct ChatSettings {
    /// What the model is called in answers.
    pub(crate) id: String,
    /// The GGUF file.
    pub(crate) path: PathBuf,
    /// Where its converted copy is kept.
    pub(crate) cache_dir: PathBuf,
    /// Most tokens of prompt and answer together.
    pub(crate) context_tokens: u32,
    /// Most tokens of an answer whose request names no limit.
    pub(crate) answer_tokens: u32,
    /// The loaded model's context; 0 while none is loaded.
    pub(crate) loaded_context: Arc<AtomicU32>,
    /// Counts the loaded model's tokens.
    pub(crate) counter: LoadedCounter,
    /// How the last attempt to load it ended.
    pub(crate) last_load: LastLoad,
}

/// Answers chat requests; loads the model for the first of them.
pub(crate) struct ChatWorker {
    settings: ChatSettings,
    model: Option<ChatModel>,
}

impl ChatWorker {
    /// A worker that has loaded nothing yet.
    pub(crate) fn new(settings: ChatSettings) -> Self {
        settings.loaded_context.store(0, Ordering::Relaxed);
        settings.counter.set(None);
        Self { settings, model: None }
    }
}

impl Worker for ChatWorker {
    type Request = Ask;
    type Item = ChatEvent;

    fn work(&mut self, ask: &Ask, outlet: &Outlet<ChatEvent>) -> Result<(), Ended> {
        let model = match &mut self.model {
            Some(model) => model,
            empty @ None => {
                let loaded = ChatModel::load(&self.settings, outlet);
                self.settings.last_load.ended(&self.settings.path, &loaded);
                empty.insert(loaded?)
            }
        };
        model.answer(&self.settings, ask, outlet)
    }
}

struct ChatModel {
    llama: Llama,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    /// The tokens whose keys and values the model holds.
    read: Vec<u32>,
}

impl ChatModel {
    fn load(settings: &ChatSettings, outlet: &Outlet<ChatEvent>) -> Result<Self, LlmError> {
        let begun = Instant::now();
        let path = settings.path.as_path();
        let file = File::open(path).map_err(|source| error::unreadable(path, source))?;
        let file = ModelFile::new(path, file).map_err(|source| error::damaged(path, source))?;
        check_kind(path, &file)?;
        let mut progress = ProgressReport { name: &settings.id, outlet, last: None };
        let mut weights = file
            .load(&settings.cache_dir, &mut |step, done, total| progress.report(step, done, total))
            .map_err(|source| error::damaged(path, source))?;
        let source = weights.text("tokenizer.chat_template").unwrap_or_default().to_owned();
        let template = ChatTemplate::new(source).map_err(|source| error::damaged(path, source))?;
        let tokenizer = Tokenizer::new(&weights).map_err(|source| error::damaged(path, source))?;
        let tokenizer = Arc::new(tokenizer);
        let limit = settings.context_tokens as usize;
        let llama =
            Llama::new(&mut weights, limit).map_err(|source| error::damaged(path, source))?;
        if tokenizer.len() != llama.vocabulary() {
            let source = format!("{} tokens for {} rows", tokenizer.len(), llama.vocabulary());
            return Err(error::damaged(path, source));
        }
        settings
            .loaded_context
            .store(u32::try_from(llama.context()).unwrap_or(u32::MAX), Ordering::Relaxed);
        settings.counter.set(Counter::new(Arc::clone(&tokenizer), &template));
        let seconds = begun.elapsed().as_secs_f32();
        tracing::info!(model = settings.id, path = %path.display(), seconds, "the local model is loaded");
        Ok(Self { llama, tokenizer, template, read: Vec::new() })
    }

    fn answer(
        &mut self,
        settings: &ChatSettings,
        ask: &Ask,
        outlet: &Outlet<ChatEvent>,
    ) -> Result<(), Ended> {
        let prompt = self.prompt(ask)?;
        let reused = self.roll_back(&prompt)?;
        let mut next = self.read_all(prompt.get(reused..).unwrap_or_default(), outlet)?;
        let limit =
            self.answer_limit(prompt.len(), ask.max_tokens.unwrap_or(settings.answer_tokens));
        let mut sampler =
            LogitsProcessor::from_sampling(ask.seed.unwrap_or_else(random), ask.sampling.clone());
        let mut decoder = TextDecoder::new(ask.stop.clone());
        let mut written = 0;
        let reason = loop {
            let scores = self.discourage_repeats(&next, prompt.len()).map_err(error::engine)?;
            let token = sampler.sample(&scores).map_err(error::engine)?;
            let Some(bytes) = self.tokenizer.bytes(token) else {
                break FinishReason::Stop;
            };
            written += 1;
            send_text(outlet, decoder.push(bytes))?;
            if decoder.stopped() {
                break FinishReason::Stop;
            }
            if written >= limit {
                break FinishReason::Length;
            }
            next = self.read_all(&[token], outlet)?;
        };
        send_text(outlet, decoder.finish())?;
        let usage = Usage {
            input_tokens: prompt.len() as u64,
            output_tokens: written as u64,
            cached_tokens: reused as u64,
            estimated: false,
        };
        tracing::debug!(
            reused,
            evaluated = prompt.len() - reused,
            written,
            "the local model answered"
        );
        outlet.send(ChatEvent::Usage(usage))?;
        outlet.send(ChatEvent::Finished(Finish { reason, model: settings.id.clone() }))
    }

    /// Scores in which what the answer said a moment ago is less likely: without it a model this
    /// small falls into loops that end only at the token limit.
    fn discourage_repeats(&self, scores: &Tensor, answer: usize) -> candle_core::Result<Tensor> {
        let from = answer.max(self.read.len().saturating_sub(REPEAT_WINDOW));
        let said = self.read.get(from..).unwrap_or_default();
        apply_repeat_penalty(scores, REPEAT_PENALTY, said)
    }

    /// The conversation as tokens; refused when it leaves no room for an answer.
    fn prompt(&self, ask: &Ask) -> Result<Vec<u32>, LlmError> {
        let context = self.llama.context();
        let at_least =
            self.tokenizer.at_least(ask.lines.iter().map(|line| line.content.len()).sum());
        if at_least >= context {
            return Err(error::too_long(at_least, context, false));
        }
        let mut lines = ask.lines.clone();
        for line in &mut lines {
            line.content = self.tokenizer.harmless(std::mem::take(&mut line.content));
        }
        let text = self.template.render(&lines).map_err(|source| {
            error::rejected(
                "the model's chat template refuses this conversation; start a new session",
            )
            .with_source(source)
        })?;
        let tokens = self.tokenizer.encode(&text).map_err(error::engine)?;
        if tokens.len() >= context {
            return Err(error::too_long(tokens.len(), context, true));
        }
        Ok(tokens)
    }

    /// Forgets what `prompt` does not begin with; returns how many tokens need not be read again.
    /// The last one always is, for the scores after it.
    fn roll_back(&mut self, prompt: &[u32]) -> Result<usize, LlmError> {
        let common = self.read.iter().zip(prompt).take_while(|(old, new)| old == new).count();
        let reused = common.min(prompt.len().saturating_sub(1));
        self.read.truncate(reused);
        self.llama.truncate(reused).map_err(error::engine)?;
        Ok(reused)
    }

    /// Reads `tokens` and returns the scores of the one that follows.
    fn read_all(&mut self, tokens: &[u32], outlet: &Outlet<ChatEvent>) -> Result<Tensor, Ended> {
        let mut scores = None;
        for chunk in tokens.chunks(CHUNK) {
            let next = self.llama.read(chunk, &|| outlet.is_abandoned()).map_err(error::engine)?;
            scores = Some(next.ok_or(Ended::Abandoned)?);
            self.read.extend_from_slice(chunk);
        }
        scores.ok_or_else(|| error::engine("there was nothing to read").into())
    }

    fn answer_limit(&self, prompt: usize, wanted: u32) -> usize {
        let room = self.llama.context().saturating_sub(prompt);
        room.min(wanted as usize)
    }
}

fn send_text(outlet: &Outlet<ChatEvent>, text: String) -> Result<(), Ended> {
    if text.is_empty() { Ok(()) } else { outlet.send(ChatEvent::Text(text)) }
}

/// A number that nobody can foresee.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Refuses models that this crate would run wrongly.
fn check_kind(path: &Path, file: &ModelFile) -> Result<(), LlmError> {
    let wrong = |what: String| Err(error::unsupported_model(path, &what));
    match file.text("general.architecture") {
        Some("llama") => {}
        Some(other) => return wrong(format!("is of the architecture `{other}`")),
        None => return wrong("names no architecture".to_owned()),
    }
    match file.text("tokenizer.ggml.pre") {
        Some(tokenizer::SPLIT) => {}
        Some(other) => return wrong(format!("has the tokenizer `{other}`")),
        None => return wrong("names no tokenizer".to_owned()),
    }
    match file.text("tokenizer.chat_template") {
        Some("") | None => wrong("has no chat template".to_owned()),
        Some(_) => Ok(()),
    }
}

/// Tells the reader how far loading is, but not for every tensor.
struct ProgressReport<'a> {
    name: &'a str,
    outlet: &'a Outlet<ChatEvent>,
    last: Option<u64>,
}

impl ProgressReport<'_> {
    fn report(&mut self, step: Step, done: u64, total: u64) {
        let part = done.saturating_mul(REPORTS) / total.max(1);
        if self.last == Some(part) {
            return;
        }
        self.last = Some(part);
        let stage = match step {
            Step::Load => format!("loading {}", self.name),
            Step::Convert => format!("preparing {} for this machine (once)", self.name),
        };
        let event = ChatEvent::Progress(Progress { stage, done, total });
        if self.outlet.send(event).is_err() {
            tracing::trace!("loading goes on, though nobody waits for this answer any more");
        }
    }
}
