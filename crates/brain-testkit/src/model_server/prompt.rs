//! What a request asks for, whatever wire it came by, and what the seed has to say to it.

use brain_core::llm::FinishReason;
use serde_json::{Value, json};

use crate::Answer;

/// Words of an answer unless the request allows fewer: from so many to twice as many.
const FEWEST_WORDS: u64 = 20;

/// What the seed makes answers of.
const WORDS: &[&str] = &[
    "a", "answer", "asks", "at", "before", "brain", "calm", "carries", "clear", "cloud", "day",
    "deep", "each", "finds", "for", "gives", "green", "hill", "holds", "in", "keeps", "lamp",
    "light", "line", "long", "memory", "moves", "near", "never", "night", "of", "old", "on",
    "open", "path", "quiet", "rain", "reads", "river", "says", "slow", "small", "song", "stone",
    "the", "then", "thought", "to", "turns", "under", "voice", "warm", "with", "word",
];

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    parameters: Value,
}

impl Tool {
    /// The tools of a request in OpenAI's shape.
    pub(super) fn list(body: &Value) -> Vec<Self> {
        let functions = body["tools"].as_array().into_iter().flatten().map(|it| &it["function"]);
        functions
            .filter_map(|it| {
                let name = it["name"].as_str()?.to_owned();
                Some(Self { name, parameters: it["parameters"].clone() })
            })
            .collect()
    }

    /// Arguments that its schema allows, as far as types say.
    fn arguments(&self) -> Value {
        sample(&self.parameters)
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Prompt {
    /// Everything that was said, for the seed and for counting.
    pub(super) text: String,
    /// What the person said last; empty after a tool's result.
    pub(super) last: String,
    pub(super) tools: Vec<Tool>,
    /// A call must be made: of the tool of this name, or of any if it is empty.
    pub(super) must_call: Option<String>,
    pub(super) thinks: bool,
    pub(super) max_words: Option<u64>,
}

impl Prompt {
    /// The tokens of what was said: four bytes each.
    pub(super) fn tokens(&self) -> u64 {
        tokens(&self.text)
    }

    /// The tool to call: the one that must be, or one that the person names.
    fn tool(&self) -> Option<&Tool> {
        match self.must_call.as_deref() {
            Some("") => self.tools.first(),
            Some(name) => self.tools.iter().find(|it| it.name == name),
            None => self.tools.iter().find(|it| self.last.contains(&it.name)),
        }
    }

    /// What the seed says to it: the same text to the same request.
    pub(super) fn answer(&self, seed: u64) -> Answer {
        let mut numbers = Numbers(hash(seed, self.text.as_bytes()));
        let mut answer = Answer::new();
        let mut said = String::new();
        if self.thinks {
            let thought = numbers.sentence(6);
            said += &thought;
            answer = pieces(&thought).fold(answer, Answer::think);
        }
        if let Some(tool) = self.tool() {
            let id = format!("call_{:08x}", numbers.next() >> 32);
            let arguments = tool.arguments().to_string();
            let usage = (self.tokens(), tokens(&said) + tokens(&arguments));
            return answer.call(&id, &tool.name, &arguments).usage(usage.0, usage.1).finish();
        }
        let wanted = FEWEST_WORDS + numbers.next() % FEWEST_WORDS;
        let allowed = self.max_words.unwrap_or(wanted);
        let text = numbers.text(wanted.min(allowed));
        said += &text;
        let answer = pieces(&text).fold(answer, Answer::say).usage(self.tokens(), tokens(&said));
        let cut = allowed < wanted;
        answer.finish_for(if cut { FinishReason::Length } else { FinishReason::Stop })
    }
}

/// What this server calls the tokens of a text: four bytes each.
pub(super) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// A text as a model would say it, word by word.
fn pieces(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(' ').map(str::to_owned)
}

/// Some value of a schema.
fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str().unwrap_or("object") {
        "string" => json!("text"),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        "array" => json!([sample(&schema["items"])]),
        "null" => Value::Null,
        _ => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            Value::Object(fields.map(|(name, it)| (name.clone(), sample(it))).collect())
        }
    }
}

/// A vector of length 1 that depends on the words of a text: texts with words in common are near.
pub(super) fn embed(seed: u64, text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in text.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()) {
        let hash = hash(seed, word.to_lowercase().as_bytes());
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        vector[usize::try_from(hash >> 1).unwrap_or_default() % dimensions] += sign;
    }
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    if length == 0.0 {
        vector[0] = 1.0;
        return vector;
    }
    vector.iter().map(|it| it / length).collect()
}

/// FNV-1a, since a seed must mean the same in every build.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    bytes
        .iter()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// `SplitMix64`.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn sentence(&mut self, words: u64) -> String {
        let count = WORDS.len() as u64;
        let words = (0..words).map(|_| usize::try_from(self.next() % count).unwrap_or_default());
        let words: Vec<&str> = words.map(|it| WORDS[it]).collect();
        let text = words.join(" ");
        let (first, rest) = text.split_at(text.len().min(1));
        format!("{}{rest}.", first.to_uppercase())
    }

    fn text(&mut self, words: u64) -> String {
        let mut sentences = Vec::new();
        let mut left = words;
        while left > 0 {
            let length = (7 + self.next() % 5).min(left);
            sentences.push(self.sentence(length));
            left -= length;
        }
        sentences.join(" ")
    }
}
