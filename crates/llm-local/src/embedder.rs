//! Sentence embeddings: a BERT encoder, the mean of its outputs, length one.
//!
//! It runs on its lane's thread, beside the chat model, so that a search never waits for an
//! answer. It stores and compares nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use brain_core::{
    chat::Usage,
    llm::{Embeddings, LlmError},
};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{Encoding, PaddingParams, Tokenizer, TruncationParams};

use crate::{
    error,
    lane::{Ended, Outlet, Worker},
};

/// Word pieces of a text that count; the model was trained on no more.
const MAX_PIECES: usize = 256;
/// Bytes of a text that are looked at; far more than 256 word pieces of any language.
const MAX_BYTES: usize = 32 << 10;
/// Texts that are computed together.
const BATCH: usize = 16;

/// The files of an embedding model, in its folder.
pub(crate) const FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];

/// Where the model is.
#[derive(Clone, Debug)]
pub(crate) struct EmbedderSettings {
    /// What the model is called in answers.
    pub(crate) id: String,
    /// The folder of [`FILES`].
    pub(crate) path: PathBuf,
    /// Whether it is loaded.
    pub(crate) loaded: Arc<AtomicBool>,
}

/// Answers embedding requests; loads the model for the first of them.
pub(crate) struct EmbedderWorker {
    settings: EmbedderSettings,
    model: Option<Embedder>,
}

impl EmbedderWorker {
    /// A worker that has loaded nothing yet.
    pub(crate) fn new(settings: EmbedderSettings) -> Self {
        settings.loaded.store(false, Ordering::Relaxed);
        Self { settings, model: None }
    }
}

impl Worker for EmbedderWorker {
    type Request = Vec<String>;
    type Item = Embeddings;

    fn work(
        &mut self,
        texts: &Vec<String>,
        outlet: &Outlet<Embeddings>,
    ) -> std::result::Result<(), Ended> {
        let model = match &mut self.model {
            Some(model) => model,
            empty @ None => empty.insert(load(&self.settings)?),
        };
        let mut vectors = Vec::with_capacity(texts.len());
        let mut usage = Usage::default();
        for batch in texts.chunks(BATCH) {
            if outlet.is_abandoned() {
                return Err(Ended::Abandoned);
            }
            let (tokens, batch) = model.embed(batch).map_err(error::engine)?;
            usage.input_tokens += tokens;
            vectors.extend(batch);
        }
        outlet.send(Embeddings { model: self.settings.id.clone(), vectors, usage })
    }
}

fn load(settings: &EmbedderSettings) -> std::result::Result<Embedder, LlmError> {
    let begun = Instant::now();
    let model = Embedder::load(&settings.path)?;
    settings.loaded.store(true, Ordering::Relaxed);
    let seconds = begun.elapsed().as_secs_f32();
    tracing::info!(model = settings.id, path = %settings.path.display(), seconds, "the embedding model is loaded");
    Ok(model)
}

struct Embedder {
    bert: BertModel,
    tokenizer: Tokenizer,
}

impl Embedder {
    fn load(folder: &Path) -> std::result::Result<Self, LlmError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| error::unreadable(&path, source))
        };
        let [weights, tokenizer, config] = FILES;
        let config: Config = serde_json::from_slice(&read(config)?)
            .map_err(|source| error::damaged(&folder.join(config), source))?;
        let encoder = tokenizer_of(&read(tokenizer)?)
            .map_err(|source| error::damaged(&folder.join(tokenizer), source))?;
        let bert = VarBuilder::from_buffered_safetensors(read(weights)?, DType::F32, &Device::Cpu)
            .and_then(|weights| BertModel::load(weights, &config))
            .map_err(|source| error::damaged(&folder.join(weights), source))?;
        Ok(Self { bert, tokenizer: encoder })
    }

    /// The number of word pieces of `texts`, and a vector for each text.
    fn embed(&self, texts: &[String]) -> Result<(u64, Vec<Vec<f32>>)> {
        let heads: Vec<&str> = texts.iter().map(|text| head(text)).collect();
        let encodings =
            self.tokenizer.encode_batch_fast(heads, true).map_err(candle_core::Error::wrap)?;
        let ids = rows(&encodings, Encoding::get_ids)?;
        let seen = rows(&encodings, Encoding::get_attention_mask)?;
        let outputs = self.bert.forward(&ids, &ids.zeros_like()?, Some(&seen))?;
        let seen = seen.to_dtype(DType::F32)?;
        let sums = outputs.broadcast_mul(&seen.unsqueeze(D::Minus1)?)?.sum(1)?;
        let lengths = sums.sqr()?.sum_keepdim(1)?.sqrt()?;
        let vectors = sums.broadcast_div(&lengths)?.to_vec2()?;
        Ok((seen.sum_all()?.to_scalar::<f32>()? as u64, vectors))
    }
}

fn tokenizer_of(bytes: &[u8]) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(bytes)?;
    tokenizer
        .with_truncation(Some(TruncationParams { max_length: MAX_PIECES, ..Default::default() }))?;
    tokenizer.with_padding(Some(PaddingParams::default()));
    Ok(tokenizer)
}

/// The beginning of a text, cut between characters.
fn head(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_BYTES)).unwrap_or(text)
}

fn rows(encodings: &[Encoding], row: fn(&Encoding) -> &[u32]) -> Result<Tensor> {
    let rows = encodings
        .iter()
        .map(|encoding| Tensor::new(row(encoding), &Device::Cpu))
        .collect::<Result<Vec<_>>>()?;
    Tensor::stack(&rows, 0)
}
