//! Fetching a model: layers with their progress, which a later request takes up again.
//!
//! Nothing is fetched; any name will do.

use std::sync::Arc;

use brain_core::llm::{ChatEvent, Progress};
use serde_json::{Value, json};

use super::named;
use crate::{
    Answer,
    model_server::{
        call::{Call, Generation, Outcome},
        frame::{Frame, Framing},
        prompt::Prompt,
        record::Shared,
        refusal::Refusal,
        speaker::{Speaker, Whole},
    },
};

/// Bytes of the layers of every model.
const LAYERS: &[u64] = &[8 * 1024 * 1024, 64 * 1024, 4 * 1024];

/// Bytes between two lines of progress.
const STEP: u64 = 1024 * 1024;

/// Bytes of a model.
pub(super) fn size(_: &str) -> u64 {
    LAYERS.iter().sum()
}

/// The digest of a layer, in hexadecimal.
pub(super) fn digest(model: &str, layer: usize) -> String {
    let name = model.trim_end_matches(":latest");
    let letters = name.bytes().map(|it| format!("{it:02x}")).collect::<String>();
    format!("{layer:02x}{letters:0<62.62}")
}

/// Answers a pull. What was fetched before is not fetched again.
pub(super) fn pull(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let model = named(call, body)?.trim_end_matches(":latest").to_owned();
    let streams = body["stream"].as_bool().unwrap_or(true);
    let shared = Arc::clone(&call.shared);
    let known = shared.state().layers.get(&model).cloned().unwrap_or_default();
    let mut answer = Answer::new();
    for (layer, total) in LAYERS.iter().enumerate() {
        let stage = digest(&model, layer);
        let mut done = known.get(&stage).copied().unwrap_or(0);
        loop {
            let progress = Progress { stage: stage.clone(), done, total: *total };
            answer = answer.event(ChatEvent::Progress(progress));
            if done == *total {
                break;
            }
            done = (done + STEP).min(*total);
        }
    }
    let speaker = PullSpeaker { shared, model };
    let generation = Generation::new(Prompt::default(), speaker, streams);
    let answer = Some(answer.finish());
    Ok(Outcome::Generate(Generation { answer, takes_script: false, ..generation }))
}

/// Spells the progress, and keeps it.
struct PullSpeaker {
    shared: Arc<Shared>,
    model: String,
}

impl PullSpeaker {
    fn keep(&self, progress: &Progress) {
        let (model, stage) = (self.model.clone(), progress.stage.clone());
        self.shared.change(|it| {
            it.layers.entry(model).or_default().insert(stage, progress.done);
        });
    }

    fn finish(&self) -> Value {
        self.shared.change(|it| {
            it.pulled.insert(self.model.clone());
        });
        json!({ "status": "success" })
    }
}

impl Speaker for PullSpeaker {
    fn framing(&self) -> Framing {
        Framing::Ndjson
    }

    fn begin(&mut self) -> Vec<Frame> {
        vec![Frame::json(json!({ "status": "pulling manifest" }))]
    }

    fn event(&mut self, event: &ChatEvent) -> Vec<Frame> {
        match event {
            ChatEvent::Progress(progress) => {
                self.keep(progress);
                let short = progress.stage.get(..12).unwrap_or_default();
                let mut line = json!({
                    "status": format!("pulling {short}"),
                    "digest": format!("sha256:{}", progress.stage), "total": progress.total,
                });
                if progress.done != 0 {
                    line["completed"] = progress.done.into();
                }
                vec![Frame::content(line)]
            }
            ChatEvent::Finished(_) => {
                let middle = ["verifying sha256 digest", "writing manifest"];
                let mut frames: Vec<Frame> =
                    middle.into_iter().map(|it| Frame::json(json!({ "status": it }))).collect();
                frames.push(Frame::json(self.finish()));
                frames
            }
            ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ToolCall(_)
            | ChatEvent::ToolCallDelta(_)
            | ChatEvent::Usage(_) => Vec::new(),
        }
    }

    fn error(&self, _: &str) -> Value {
        json!({ "error": "pull model manifest: file does not exist" })
    }

    fn whole(&mut self, _: Whole) -> Value {
        self.finish()
    }
}
