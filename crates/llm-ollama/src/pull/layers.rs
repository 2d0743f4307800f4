//! What the lines of a pull add up to; pure.

use brain_core::llm::{LlmError, Progress};
use llm_http::{Endpoint, Refusal, repair_surrogates};

use crate::{
    failure::{self, shown},
    wire::{PullLine, filled, object, states_error},
};

/// Most layers that are added up; models have about half a dozen.
const MAX_LAYERS: usize = 256;

/// What the server says when it has the whole model.
const SUCCESS: &str = "success";

/// The layers of a model being pulled.
#[derive(Debug)]
pub(crate) struct Layers {
    model: String,
    layers: Vec<Layer>,
    /// What is done that is no layer.
    step: Option<String>,
}

#[derive(Debug)]
struct Layer {
    digest: String,
    total: u64,
    done: u64,
}

impl Layers {
    pub(crate) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), layers: Vec::new(), step: None }
    }

    /// Takes one line; says whether it is the last one.
    ///
    /// # Errors
    ///
    /// When the line states an error or is none of a pull.
    pub(crate) fn line(&mut self, endpoint: &Endpoint, json: &str) -> Result<bool, LlmError> {
        let json = repair_surrogates(json);
        let line: PullLine<'_> = object(&json).map_err(|error| {
            endpoint.misspoke("sent a line of a pull that is not JSON").with_source(error)
        })?;
        if states_error(line.error) {
            let refusal = Refusal::in_stream(endpoint, json.as_bytes());
            return Err(failure::unpullable(endpoint, &self.model, refusal));
        }
        let status = filled(line.status.as_ref()).unwrap_or_default();
        match filled(line.digest.as_ref()) {
            Some(digest) => {
                self.step = None;
                self.layer(digest, line.total.unwrap_or(0), line.completed.unwrap_or(0));
            }
            None => self.step = Some(shown(status)).filter(|it| !it.is_empty()),
        }
        Ok(status == SUCCESS)
    }

    /// A layer's figures; what is done never grows less, also where a pull goes on.
    fn layer(&mut self, digest: &str, total: u64, done: u64) {
        let known = self.layers.iter_mut().find(|it| it.digest == digest);
        if let Some(layer) = known {
            layer.total = layer.total.max(total);
            layer.done = layer.done.max(done).min(layer.total);
        } else if self.layers.len() < MAX_LAYERS {
            self.layers.push(Layer { digest: digest.to_owned(), total, done: done.min(total) });
        }
    }

    /// Bytes that the server has.
    pub(crate) fn done(&self) -> u64 {
        self.layers.iter().fold(0, |sum, it| sum.saturating_add(it.done))
    }

    /// How far it has come, over all layers that the server has named.
    pub(crate) fn progress(&self) -> Progress {
        let total = self.layers.iter().fold(0, |sum: u64, it| sum.saturating_add(it.total));
        let model = shown(&self.model);
        let stage = match &self.step {
            None => format!("pulling {model}"),
            Some(step) => format!("pulling {model}: {step}"),
        };
        Progress { stage, done: self.done(), total }
    }
}

#[cfg(test)]
mod tests {
    use brain_core::llm::LlmErrorKind;
    use llm_http::Endpoint;

    use super::Layers;

    /// Lines, what they add up to, and whether they are all.
    fn check(lines: &[&str], stage: &str, done: u64, total: u64, last: bool) {
        let endpoint = Endpoint::new("http://x").unwrap();
        let mut layers = Layers::new("qwen3");
        let mut ended = false;
        for line in lines {
            assert!(!ended);
            ended = layers.line(&endpoint, line).unwrap();
        }
        let found = layers.progress();
        assert_eq!((found.stage.as_str(), found.done, found.total), (stage, done, total));
        assert_eq!(ended, last);
    }

    const MANIFEST: &str = r#"{"status":"pulling manifest"}"#;
    const FIRST: &str = r#"{"status":"pulling a1","digest":"sha256:a1","total":100}"#;
    const FIRST_HALF: &str =
        r#"{"status":"pulling a1","digest":"sha256:a1","total":100,"completed":50}"#;
    const SECOND: &str = r#"{"status":"pulling b2","digest":"sha256:b2","total":7,"completed":9}"#;

    #[test]
    fn layers_are_added_up_in_any_order() {
        check(&[], "pulling qwen3", 0, 0, false);
        check(&[MANIFEST], "pulling qwen3: pulling manifest", 0, 0, false);
        check(&[MANIFEST, FIRST], "pulling qwen3", 0, 100, false);
        check(&[FIRST_HALF, SECOND, FIRST], "pulling qwen3", 57, 107, false);
        let last = [FIRST_HALF, SECOND, r#"{"status":"success"}"#];
        check(&last, "pulling qwen3: success", 57, 107, true);
    }

    #[test]
    fn odd_lines_are_harmless() {
        check(&["{}", r#"{"status":7,"total":"x"}"#], "pulling qwen3", 0, 0, false);
        check(&[r#"{"status":"a\u001b[2J\nb"}"#], "pulling qwen3: a [2J b", 0, 0, false);
        let huge =
            r#"{"digest":"a","total":18446744073709551615,"completed":18446744073709551615}"#;
        check(&[huge, SECOND], "pulling qwen3", u64::MAX, u64::MAX, false);
    }

    #[test]
    fn errors_end_it() {
        let endpoint = Endpoint::new("http://x").unwrap();
        let kind = |json| Layers::new("m").line(&endpoint, json).unwrap_err().kind();
        let unknown = r#"{"error":"pull model manifest: file does not exist"}"#;
        assert_eq!(kind(unknown), LlmErrorKind::ModelNotFound);
        assert_eq!(kind(r#"{"error":"max retries exceeded: EOF"}"#), LlmErrorKind::Unavailable);
        assert_eq!(kind("<html>"), LlmErrorKind::Protocol);
    }
}
