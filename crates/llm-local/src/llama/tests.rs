//! The forward pass beside candle's own, on the real model.

use std::fs::File;

use candle_core::{Device, Tensor, quantized::gguf_file::Content};
use candle_transformers::models::quantized_llama::ModelWeights;

use super::Llama;
use crate::real_model::weights;

/// Twenty-five tokens, more than one chunk of the tests below.
const TOKENS: [u32; 25] = [
    1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407,
    19712, 8182, 2, 198, 1, 4093, 198, 19556,
];

/// Our model, and candle's from the same converted tensors.
fn both() -> (Llama, ModelWeights) {
    let cache = tempfile::tempdir().unwrap();
    let mut weights = weights(cache.path());
    let converted = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let mut reader = File::open(converted).unwrap();
    let content = Content::read(&mut reader).unwrap();
    let theirs = ModelWeights::from_gguf(content, &mut reader, &Device::Cpu).unwrap();
    (Llama::new(&mut weights, 512).unwrap(), theirs)
}

fn read(model: &mut Llama, tokens: &[u32]) -> Vec<f32> {
    model.read(tokens, &|| false).unwrap().unwrap().to_vec1().unwrap()
}

/// On the machines it was tried on the scores are equal to the bit. They need not be: activations
/// are rounded to eight bits, so that the last bit of one number can move a score by 3 %.
#[track_caller]
fn assert_close(ours: &[f32], theirs: &[f32]) {
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    let largest = theirs.iter().fold(0f32, |largest, it| largest.max(it.abs()));
    assert_eq!(ours.len(), theirs.len());
    assert!(worst < largest * 0.05, "the scores are {worst} apart, of at most {largest}");
}

#[test]
fn the_scores_are_those_of_candles_own_model() {
    let (mut ours, mut theirs) = both();
    let mut reference = |tokens: &[u32], at: usize| -> Vec<f32> {
        let input = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        theirs.forward(&input, at).unwrap().squeeze(0).unwrap().to_vec1().unwrap()
    };
    let whole = reference(&TOKENS, 0);
    let next = reference(&[28], TOKENS.len());
    assert_close(&read(&mut ours, &TOKENS), &whole);
    assert_close(&read(&mut ours, &[28]), &next);

    // in pieces, and one by one
    ours.truncate(0).unwrap();
    read(&mut ours, &TOKENS[..10]);
    read(&mut ours, &TOKENS[10..24]);
    assert_close(&read(&mut ours, &TOKENS[24..]), &whole);

    // another conversation that begins the same way
    ours.truncate(20).unwrap();
    read(&mut ours, &[3, 4, 5]);
    ours.truncate(20).unwrap();
    assert_close(&read(&mut ours, &TOKENS[20..]), &whole);

    // an interrupted call leaves nothing behind
    assert!(ours.read(&[7, 8, 9], &|| true).unwrap().is_none());
    assert_close(&read(&mut ours, &[28]), &next);
}

#[test]
fn more_than_the_context_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let mut model = Llama::new(&mut weights(cache.path()), 30).unwrap();
    let before = read(&mut model, &TOKENS);
    assert!(model.read(&[1; 6], &|| false).is_err());
    read(&mut model, &[1; 5]);
    assert!(model.read(&[1], &|| false).is_err());

    // The cache gives memory back, and keeps what is still needed.
    for block in &mut model.blocks {
        block.attention.resize(2048, 30).unwrap();
    }
    model.truncate(24).unwrap();
    assert_eq!(model.blocks[0].attention.capacity(), 256);
    assert_close(&read(&mut model, &TOKENS[24..]), &before);
}
