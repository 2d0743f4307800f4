//! llama.cpp's frames of a filled gap; pure.
//!
//! They have no choices: the text stands at the top, and the last one says how it ended.

use std::collections::VecDeque;

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, FinishReason, LlmError},
};

use super::ChunkDecoder;
use crate::wire::{InfillChunk, filled};

impl ChunkDecoder {
    /// Takes one frame's JSON, or the whole answer's.
    pub(super) fn infill(
        &mut self,
        json: &str,
        events: &mut VecDeque<ChatEvent>,
    ) -> Result<(), LlmError> {
        let chunk: InfillChunk<'_> = serde_json::from_str(json).map_err(|it| self.no_json(it))?;
        if chunk.error.is_some_and(|error| error.get() != "null") {
            return Err(self.refused(json));
        }
        self.name(filled(chunk.model.as_ref()));
        let text = filled(chunk.content.as_ref()).map(|it| ChatEvent::Text(it.to_owned()));
        self.begun |= text.is_some();
        events.extend(text);
        if chunk.stop == Some(true) {
            let limit = filled(chunk.stop_type.as_ref()) == Some("limit");
            self.reason = Some(if limit { FinishReason::Length } else { FinishReason::Stop });
            events.extend(usage(&chunk).map(ChatEvent::Usage));
        }
        Ok(())
    }
}

fn usage(chunk: &InfillChunk<'_>) -> Option<Usage> {
    let usage = Usage {
        input_tokens: chunk.tokens_evaluated?,
        output_tokens: chunk.tokens_predicted?,
        cached_tokens: 0,
        estimated: false,
    };
    (usage != Usage::default()).then_some(usage)
}
