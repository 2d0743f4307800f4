//! Grouped-query attention over a cache of keys and values that grows and can be cut back.
//!
//! Keys and values lie as (head, position, element), so that a group of query heads meets its
//! one key head in a single product and nothing is repeated.

use candle_core::{D, DType, Device, Module, Result, Tensor, quantized::QMatMul};
use candle_nn::{ops::softmax_last_dim, rotary_emb::rope_i};

/// Positions by which the cache grows at the least.
const GROWTH: usize = 256;

/// How many heads there are, and how wide they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    /// Query heads.
    pub(super) queries: usize,
    /// Key and value heads; each serves `queries / keys` query heads.
    pub(super) keys: usize,
    /// Elements of a head.
    pub(super) size: usize,
}

/// The rotations of all positions.
pub(super) struct RotaryTable {
    cos: Tensor,
    sin: Tensor,
}

impl RotaryTable {
    /// The table for heads of `size` elements and `context` positions.
    pub(super) fn new(size: usize, base: f32, context: usize) -> Result<Self> {
        let frequency = |pair: usize| 1. / base.powf((2 * pair) as f32 / size as f32);
        let angles: Vec<f32> = (0..context)
            .flat_map(|position| (0..size / 2).map(move |pair| position as f32 * frequency(pair)))
            .collect();
        let angles = Tensor::from_vec(angles, (context, size / 2), &Device::Cpu)?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()? })
    }

    /// What attention needs to know about `count` tokens from position `start` on.
    pub(super) fn positions(&self, start: usize, count: usize) -> Result<Positions> {
        Ok(Positions {
            start,
            cos: self.cos.narrow(0, start, count)?,
            sin: self.sin.narrow(0, start, count)?,
            mask: if count > 1 { Some(causal_mask(start, count)?) } else { None },
        })
    }
}

/// Where the tokens of one call stand.
pub(super) struct Positions {
    start: usize,
    cos: Tensor,
    sin: Tensor,
    /// What is added to the scores: minus infinity where a token would see a later one.
    mask: Option<Tensor>,
}

fn causal_mask(start: usize, count: usize) -> Result<Tensor> {
    let end = start + count;
    let hidden = |seen: bool| if seen { 0. } else { f32::NEG_INFINITY };
    let mask: Vec<f32> =
        (start..end).flat_map(|token| (0..end).map(move |other| hidden(other <= token))).collect();
    Tensor::from_vec(mask, (count, end), &Device::Cpu)
}

/// The attention of one layer, with its cache.
pub(super) struct Attention {
    heads: Heads,
    query: QMatMul,
    key: QMatMul,
    value: QMatMul,
    output: QMatMul,
    context: usize,
    keys: Tensor,
    values: Tensor,
}

impl Attention {
    /// The attention with the matrices for queries, keys, values and output.
    pub(super) fn new(heads: Heads, matrices: [QMatMul; 4], context: usize) -> Result<Self> {
        let [query, key, value, output] = matrices;
        let keys = empty(heads, 0)?;
        let values = empty(heads, 0)?;
        Ok(Self { heads, query, key, value, output, context, keys, values })
    }

    /// Attends from each row of `x` to all positions up to its own.
    pub(super) fn forward(&mut self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let (count, width) = x.dims2()?;
        let Heads { queries, keys, size } = self.heads;
        let rotated = |x: Tensor, heads| -> Result<Tensor> {
            let x = x.reshape((1, count, heads, size))?.transpose(1, 2)?.contiguous()?;
            rope_i(&x, &positions.cos, &positions.sin)?.squeeze(0)
        };
        let query = rotated(self.query.forward(x)?, queries)?;
        let key = rotated(self.key.forward(x)?, keys)?;
        let value =
            self.value.forward(x)?.reshape((count, keys, size))?.transpose(0, 1)?.contiguous()?;
        let (key, value) = self.append(&key, &value, positions.start)?;
        let group = queries / keys * count;
        let mut scores =
            (query.reshape((keys, group, size))?.matmul(&key.t()?)? / (size as f64).sqrt())?;
        if let Some(mask) = &positions.mask {
            let seen = mask.dim(D::Minus1)?;
            let separate = scores.reshape((queries, count, seen))?;
            scores = separate.broadcast_add(mask)?.reshape((keys, group, seen))?;
        }
        let mixed = softmax_last_dim(&scores)?.matmul(&value)?;
        let mixed = mixed.reshape((queries, count, size))?.transpose(0, 1)?.contiguous()?;
        self.output.forward(&mixed.reshape((count, width))?)
    }

    /// Stores new keys and values from position `start` on; returns all up to them.
    fn append(&mut self, key: &Tensor, value: &Tensor, start: usize) -> Result<(Tensor, Tensor)> {
        let end = start + key.dim(1)?;
        let capacity = self.keys.dim(1)?;
        if end > capacity {
            let wanted = (capacity * 2).max(end.next_multiple_of(GROWTH)).min(self.context);
            self.resize(wanted, start)?;
        }
        self.keys.slice_set(key, 1, start)?;
        self.values.slice_set(value, 1, start)?;
        Ok((self.keys.narrow(1, 0, end)?, self.values.narrow(1, 0, end)?))
    }

    /// Gives memory back when `length` positions need far less of it.
    pub(super) fn shrink(&mut self, length: usize) -> Result<()> {
        if self.keys.dim(1)? > (4 * length).max(4 * GROWTH) {
            self.resize(length.next_multiple_of(GROWTH), length)?;
        }
        Ok(())
    }

    /// Positions that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.keys.dims()[1]
    }

    /// Moves the first `length` positions to a cache of `capacity`.
    pub(super) fn resize(&mut self, capacity: usize, length: usize) -> Result<()> {
        for cache in [&mut self.keys, &mut self.values] {
            let resized = empty(self.heads, capacity)?;
            if length > 0 {
                resized.slice_set(&cache.narrow(1, 0, length)?.contiguous()?, 1, 0)?;
            }
            *cache = resized;
        }
        Ok(())
    }
}

fn empty(heads: Heads, capacity: usize) -> Result<Tensor> {
    Tensor::zeros((heads.keys, capacity, heads.size), DType::F32, &Device::Cpu)
}
