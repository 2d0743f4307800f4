//! SmolLM's tokenizer, built from a GGUF file's metadata: text to token ids, ids to bytes.
//!
//! It does not decode to text: a token may hold half a character.

use std::collections::HashMap;

use candle_core::{Error, Result, quantized::gguf_file::Value};
use tokenizers::{
    AddedToken, Tokenizer as Encoder,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

use crate::weights::Weights;

/// The name that GGUF files give to the only way of splitting that is built here.
pub(crate) const SPLIT: &str = "smollm";
/// `LLAMA_TOKEN_TYPE_CONTROL` of the GGUF format.
const CONTROL: i64 = 3;

/// A byte-level BPE tokenizer.
pub(crate) struct Tokenizer {
    encoder: Encoder,
    /// The bytes of each token; `None` for control tokens, which are no text.
    bytes: Vec<Option<Box<[u8]>>>,
    control: Vec<String>,
    longest: usize,
}

impl Tokenizer {
    /// Builds the tokenizer that the file describes.
    pub(crate) fn new(weights: &Weights) -> Result<Self> {
        let tokens = texts(weights.value("tokenizer.ggml.tokens")?)?;
        let is_control = control_flags(weights, tokens.len())?;
        let bytes = token_bytes(&tokens, &is_control);
        let longest = bytes.iter().flatten().map(|it| it.len()).max().unwrap_or(1);
        let control: Vec<String> = tokens
            .iter()
            .zip(&is_control)
            .filter(|&(_, &it)| it)
            .map(|(token, _)| token.clone())
            .collect();
        let vocabulary: Vocab = (0u32..).zip(tokens).map(|(id, token)| (token, id)).collect();
        let merges = merges(weights.value("tokenizer.ggml.merges")?)?;
        let model =
            BPE::builder().vocab_and_merges(vocabulary, merges).build().map_err(Error::wrap)?;
        let mut encoder = Encoder::new(model);
        let split = vec![Digits::new(true).into(), ByteLevel::new(false, false, true).into()];
        encoder.with_pre_tokenizer(Some(Sequence::new(split)));
        let special = control.iter().map(|token| AddedToken::from(token.clone(), true));
        encoder.add_special_tokens(special).map_err(Error::wrap)?;
        Ok(Self { encoder, bytes, control, longest })
    }

    /// The token ids of `text`, in which control tokens are recognised.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.encoder.encode_fast(text, false).map_err(Error::wrap)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The bytes of a token; `None` for a control token, which never belongs to an answer.
    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(id as usize)?.as_deref()
    }

    /// How many tokens the vocabulary has.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A number of tokens that `bytes` bytes of text have at the least; needs no encoding.
    pub(crate) fn at_least(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.longest)
    }

    /// The same text without control tokens: an invisible space breaks them up, so that nobody
    /// can write the end of a message into a message.
    pub(crate) fn harmless(&self, text: String) -> String {
        self.control.iter().fold(text, |text, token| {
            let mut characters = token.chars();
            match characters.next() {
                Some(first) if text.contains(token.as_str()) => {
                    text.replace(token.as_str(), &format!("{first}\u{200b}{}", characters.as_str()))
                }
                Some(_) | None => text,
            }
        })
    }
}

fn texts(value: &Value) -> Result<Vec<String>> {
    value.to_vec()?.iter().map(|it| it.to_string().cloned()).collect()
}

fn merges(value: &Value) -> Result<Merges> {
    let pair = |merge: &Value| match merge.to_string()?.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => candle_core::bail!("a merge of the tokenizer has no two parts"),
    };
    value.to_vec()?.iter().map(pair).collect()
}

fn control_flags(weights: &Weights, tokens: usize) -> Result<Vec<bool>> {
    let types = weights.value("tokenizer.ggml.token_type")?.to_vec()?;
    if types.len() != tokens {
        candle_core::bail!("{tokens} tokens have {} types", types.len());
    }
    let flag = |it: &Value| match it {
        Value::I32(it) => Ok(i64::from(*it) == CONTROL),
        other => Ok(other.to_u32()? as i64 == CONTROL),
    };
    types.iter().map(flag).collect()
}

fn token_bytes(tokens: &[String], is_control: &[bool]) -> Vec<Option<Box<[u8]>>> {
    let alphabet = byte_alphabet();
    let bytes = |token: &String| -> Box<[u8]> {
        let bytes: Option<_> = token.chars().map(|it| alphabet.get(&it).copied()).collect();
        bytes.unwrap_or_else(|| token.as_bytes().into())
    };
    tokens
        .iter()
        .zip(is_control)
        .map(|(token, &control)| (!control).then(|| bytes(token)))
        .collect()
}

/// GPT-2's alphabet: each byte is written as one visible character.
fn byte_alphabet() -> HashMap<char, u8> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=u8::MAX).filter(|byte| !visible(byte));
    let shifted = ('\u{100}'..).zip(others);
    (0..=u8::MAX).filter(visible).map(|byte| (char::from(byte), byte)).chain(shifted).collect()
}

#[cfg(test)]
mod tests {
    use super::Tokenizer;
    use crate::real_model::weights;

    const PROBE: &str = "<|im_start|>user\nIn 2026, cafés cost 12.50 €!\n\n  It's 'fine' — 👍 naïve\ttabs<|im_end|>\n";

    /// From an implementation of its own of llama.cpp's rules for `smollm`.
    const PROBE_IDS: [u32; 38] = [
        1, 4093, 198, 788, 216, 34, 32, 34, 38, 28, 20879, 17842, 1708, 216, 33, 34, 30, 37, 32,
        24927, 17, 8866, 657, 506, 637, 38066, 23, 1841, 15107, 235, 231, 15486, 46494, 197, 100,
        7366, 2, 198,
    ];

    #[test]
    fn a_probe_has_the_ids_it_should_and_turns_back_into_its_bytes() {
        let cache = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::new(&weights(cache.path())).unwrap();
        let ids = tokenizer.encode(PROBE).unwrap();
        assert_eq!(ids, PROBE_IDS);
        let bytes: Vec<u8> =
            ids.iter().filter_map(|&id| tokenizer.bytes(id)).flatten().copied().collect();
        let text = PROBE.replace("<|im_start|>", "").replace("<|im_end|>", "");
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        assert!(tokenizer.at_least(PROBE.len()) <= ids.len());

        let harmless = tokenizer.harmless(PROBE.to_owned());
        let ids = tokenizer.encode(&harmless).unwrap();
        assert!(ids.iter().all(|&id| tokenizer.bytes(id).is_some()), "no control token is left");
        assert_eq!(harmless.replace('\u{200b}', ""), PROBE);
    }
}
