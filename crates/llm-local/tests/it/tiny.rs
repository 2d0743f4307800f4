//! A model that knows nothing but is read like the real one: its tokenizer, and one small layer.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    sync::LazyLock,
};

use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, Value},
    },
};

use crate::chat_model;

/// What a model file says about itself.
pub(crate) type Metadata = HashMap<String, Value>;

const WIDTH: usize = 64;
const HEAD: usize = 32;
const HIDDEN: usize = 96;

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let mut metadata = Content::read(&mut File::open(chat_model()).unwrap()).unwrap().metadata;
    for (key, value) in [
        ("block_count", 1),
        ("embedding_length", WIDTH),
        ("feed_forward_length", HIDDEN),
        ("attention.head_count", WIDTH / HEAD),
        ("attention.head_count_kv", 1),
        ("rope.dimension_count", HEAD),
    ] {
        metadata.insert(format!("llama.{key}"), number(value));
    }
    metadata
});

/// A number of the metadata.
pub(crate) fn number(value: usize) -> Value {
    Value::U32(u32::try_from(value).unwrap())
}

/// Writes the model, with its metadata changed.
pub(crate) fn write(path: &Path, change: impl FnOnce(&mut Metadata)) {
    let mut metadata = METADATA.clone();
    change(&mut metadata);
    let tokens = METADATA.get("tokenizer.ggml.tokens").unwrap().to_vec().unwrap().len();
    let tensors = [
        ("token_embd", vec![tokens, WIDTH]),
        ("output_norm", vec![WIDTH]),
        ("blk.0.attn_norm", vec![WIDTH]),
        ("blk.0.attn_q", vec![WIDTH, WIDTH]),
        ("blk.0.attn_k", vec![HEAD, WIDTH]),
        ("blk.0.attn_v", vec![HEAD, WIDTH]),
        ("blk.0.attn_output", vec![WIDTH, WIDTH]),
        ("blk.0.ffn_norm", vec![WIDTH]),
        ("blk.0.ffn_gate", vec![HIDDEN, WIDTH]),
        ("blk.0.ffn_up", vec![HIDDEN, WIDTH]),
        ("blk.0.ffn_down", vec![WIDTH, HIDDEN]),
    ]
    .map(|(name, shape)| (format!("{name}.weight"), tensor(&shape)));
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut file = BufWriter::new(File::create(path).unwrap());
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    file.flush().unwrap();
}

/// The bytes of the model.
pub(crate) fn bytes() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write(&path, |_| ());
    fs::read(path).unwrap()
}

fn tensor(shape: &[usize]) -> QTensor {
    let zeros = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let kind = if shape.len() == 2 { GgmlDType::Q4_1 } else { GgmlDType::F32 };
    QTensor::quantize(&zeros, kind).unwrap()
}
