//! The forward pass of the llama architecture over quantised weights.
//!
//! Unlike `candle_transformers::models::quantized_llama` its cache of keys and values can be cut
//! back to any length, so that a further turn evaluates only its new tokens; it reads the
//! embedding table as it is stored instead of a copy in 32-bit floats (113 MB for SmolLM2-135M);
//! its context is the model's, not 4096; and it can be interrupted between layers.
//! It samples nothing and knows no text.

mod attention;

use std::sync::Arc;

use candle_core::{
    Device, Module, Result, Tensor,
    quantized::{QMatMul, QTensor, gguf_file::Value},
};
use candle_nn::ops::{rms_norm, silu};

use self::attention::{Attention, Heads, Positions, RotaryTable};
use crate::weights::Weights;

/// Larger than any dimension of a model that could run here; what a file says above it is wrong.
const SANE: usize = 1 << 20;

/// The numbers that shape a model.
struct Dimensions {
    blocks: usize,
    width: usize,
    hidden: usize,
    heads: Heads,
    context: usize,
    rope_base: f32,
    epsilon: f32,
}

impl Dimensions {
    fn read(weights: &Weights) -> Result<Self> {
        let number = |key: &str| sane(weights, &format!("llama.{key}"));
        let heads = Heads {
            queries: number("attention.head_count")?,
            keys: number("attention.head_count_kv")?,
            size: number("rope.dimension_count")?,
        };
        let width = number("embedding_length")?;
        let whole = heads.queries * heads.size == width && heads.queries.is_multiple_of(heads.keys);
        if !whole || !heads.size.is_multiple_of(2) {
            candle_core::bail!("{heads:?} do not divide a width of {width}");
        }
        let rope_base =
            weights.value("llama.rope.freq_base").and_then(Value::to_f32).unwrap_or(10_000.);
        Ok(Self {
            blocks: number("block_count")?,
            width,
            hidden: number("feed_forward_length")?,
            heads,
            context: number("context_length")?,
            rope_base,
            epsilon: weights.value("llama.attention.layer_norm_rms_epsilon")?.to_f32()?,
        })
    }
}

fn sane(weights: &Weights, key: &str) -> Result<usize> {
    let number = weights.value(key)?.to_u32()? as usize;
    if !(1..=SANE).contains(&number) {
        candle_core::bail!("{key} is {number}");
    }
    Ok(number)
}

/// A model and the keys and values of the tokens that it has read.
pub(crate) struct Llama {
    embedding: Arc<QTensor>,
    blocks: Vec<Block>,
    norm: Norm,
    output: QMatMul,
    rotary: RotaryTable,
    context: usize,
    length: usize,
}

impl Llama {
    /// Builds the model; `limit` may make its context shorter than the file says.
    pub(crate) fn new(weights: &mut Weights, limit: usize) -> Result<Self> {
        let shape = Dimensions::read(weights)?;
        let context = shape.context.min(limit);
        let vocabulary = weights.rows("token_embd.weight")?;
        let table = [vocabulary, shape.width];
        let embedding = Arc::new(weights.take("token_embd.weight", &table)?);
        let output = if weights.has("output.weight") {
            QMatMul::from_qtensor(weights.take("output.weight", &table)?)?
        } else {
            QMatMul::from_arc(Arc::clone(&embedding))?
        };
        let norm = Norm::new(weights, "output_norm.weight", &shape)?;
        let blocks = (0..shape.blocks)
            .map(|index| Block::new(weights, index, &shape))
            .collect::<Result<_>>()?;
        let rotary = RotaryTable::new(shape.heads.size, shape.rope_base, context)?;
        Ok(Self { embedding, blocks, norm, output, rotary, context, length: 0 })
    }

    /// Most tokens of prompt and answer together.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// Rows of the embedding table: token ids are below it.
    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.shape().dims().first().copied().unwrap_or(0)
    }

    /// Forgets all but the first `length` tokens.
    pub(crate) fn truncate(&mut self, length: usize) -> Result<()> {
        self.length = self.length.min(length);
        self.blocks.iter_mut().try_for_each(|block| block.attention.shrink(self.length))
    }

    /// Reads `tokens` after those it has read, and returns the scores of the token that follows.
    ///
    /// `None` when `interrupted` said so between two layers; the tokens are then not read.
    pub(crate) fn read(
        &mut self,
        tokens: &[u32],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Tensor>> {
        let end = self.length + tokens.len();
        if tokens.is_empty() || end > self.context {
            candle_core::bail!(
                "cannot read {} tokens after {} of {}",
                tokens.len(),
                self.length,
                self.context
            );
        }
        let positions = self.rotary.positions(self.length, tokens.len())?;
        let mut x = self.embedding.embedding(&Tensor::new(tokens, &Device::Cpu)?)?;
        for block in &mut self.blocks {
            if interrupted() {
                return Ok(None);
            }
            x = block.forward(&x, &positions)?;
        }
        self.length = end;
        let last = x.narrow(0, tokens.len() - 1, 1)?;
        let scores = self.output.forward(&self.norm.forward(&last)?)?;
        Ok(Some(scores.squeeze(0)?))
    }
}

/// Root-mean-square normalisation.
struct Norm {
    weight: Tensor,
    epsilon: f32,
}

impl Norm {
    fn new(weights: &mut Weights, name: &str, shape: &Dimensions) -> Result<Self> {
        let weight = weights.take(name, &[shape.width])?.dequantize(&Device::Cpu)?;
        Ok(Self { weight, epsilon: shape.epsilon })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(x, &self.weight, self.epsilon)
    }
}

/// One layer: attention, then a gated feed-forward network, each beside a residual.
struct Block {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
}

impl Block {
    fn new(weights: &mut Weights, index: usize, shape: &Dimensions) -> Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (width, hidden) = (shape.width, shape.hidden);
        let keys = shape.heads.keys * shape.heads.size;
        let mut matrix = |part: &str, rows: usize, columns: usize| {
            QMatMul::from_qtensor(weights.take(&name(part), &[rows, columns])?)
        };
        let attention = Attention::new(
            shape.heads,
            [
                matrix("attn_q", width, width)?,
                matrix("attn_k", keys, width)?,
                matrix("attn_v", keys, width)?,
                matrix("attn_output", width, width)?,
            ],
            shape.context,
        )?;
        let gate = matrix("ffn_gate", hidden, width)?;
        let up = matrix("ffn_up", hidden, width)?;
        let down = matrix("ffn_down", width, hidden)?;
        let attention_norm = Norm::new(weights, &name("attn_norm"), shape)?;
        let feed_forward_norm = Norm::new(weights, &name("ffn_norm"), shape)?;
        Ok(Self { attention_norm, attention, feed_forward_norm, gate, up, down })
    }

    fn forward(&mut self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.attention_norm.forward(x)?, positions)?)?;
        let normed = self.feed_forward_norm.forward(&x)?;
        let gated = (silu(&self.gate.forward(&normed)?)? * self.up.forward(&normed)?)?;
        x + self.down.forward(&gated)?
    }
}

#[cfg(test)]
mod tests;
