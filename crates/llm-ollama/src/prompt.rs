//! Whether the server read the whole prompt; pure.
//!
//! Ollama cuts a prompt that is too long, answers all the same and says so nowhere. Only its count of
//! the prompt's tokens tells, and that is told from what it found in its cache by the server's
//! version.

use std::sync::Arc;

use brain_core::{
    chat::Message,
    llm::{Estimate, TokenCounter},
};

/// Letters and digits that no tokenizer puts into one token on the average of a long text.
const LETTERS_PER_TOKEN: u64 = 8;

/// What was sent, as far as its length goes.
#[derive(Debug)]
pub(crate) struct Prompt {
    messages: Vec<Arc<Message>>,
    /// Bytes of the tools' descriptions.
    tool_bytes: usize,
    /// What the model reads at the most; `None` where that is not ours to say.
    num_ctx: Option<u32>,
    /// Whether the server counts what it found in its cache.
    counts_cached: bool,
}

impl Prompt {
    pub(crate) fn new(
        messages: Vec<Arc<Message>>,
        num_ctx: Option<u32>,
        counts_cached: bool,
    ) -> Self {
        Self { messages, tool_bytes: 0, num_ctx, counts_cached }
    }

    pub(crate) fn with_tools(self, tool_bytes: usize) -> Self {
        Self { tool_bytes, ..self }
    }

    /// Whether the server's count is that of the whole prompt, the part in its cache included.
    pub(crate) fn counts_cached(&self) -> bool {
        self.counts_cached
    }

    /// The length of the context, if the prompt was cut to fit it: it need not have fitted, and the
    /// server's `count` fills the context or is far below what such a text has.
    ///
    /// A prompt that certainly fits is never taken for cut, whatever the server counts.
    pub(crate) fn cut_to(&self, count: u64) -> Option<u32> {
        let num_ctx = self.num_ctx.filter(|_| self.counts_cached && 0 < count)?;
        let limit = u64::from(num_ctx);
        let suspicious = limit <= count + 1 || count < self.letters() / LETTERS_PER_TOKEN;
        (suspicious && limit < self.tokens()).then_some(num_ctx)
    }

    /// Tokens of the prompt, rather too many than too few.
    pub(crate) fn tokens(&self) -> u64 {
        let message =
            |it: &Arc<Message>| Estimate.message() + it.texts().map(text_tokens).sum::<u64>();
        let messages: u64 = self.messages.iter().map(message).sum();
        messages + Estimate.frame(true) + self.tool_bytes as u64
    }

    fn letters(&self) -> u64 {
        let texts = self.messages.iter().flat_map(|it| it.texts());
        texts.map(|it| it.chars().filter(|it| it.is_alphanumeric()).count() as u64).sum()
    }
}

fn text_tokens(text: &str) -> u64 {
    Estimate.text(text).count
}

#[cfg(test)]
mod tests {
    use brain_core::chat::Message;

    use super::Prompt;

    const PROSE: &str = "It keeps every conversation, and where both disagree, the issue stands. ";

    /// Whether a prompt of `repeats` sentences of 14 tokens is taken for cut at a context of 1,000.
    fn check(repeats: usize, counts_cached: bool, count: u64, expected: bool) {
        let messages = vec![Message::user(PROSE.repeat(repeats)).into()];
        let prompt = Prompt::new(messages, Some(1_000), counts_cached);
        assert_eq!(prompt.cut_to(count).is_some(), expected, "{repeats} {counts_cached} {count}");
    }

    #[test]
    fn only_what_may_not_fit_is_taken_for_cut() {
        // Some 140 tokens: it fits, whatever the server says it read.
        check(10, true, 140, false);
        check(10, true, 1, false);
        check(10, true, 1_000, false);
        // Some 840 tokens, estimated at more than 1,000: it fitted and was read.
        check(60, true, 840, false);
        // Some 2,800 tokens: filled, halved, and nearly all of it gone.
        check(200, true, 1_000, true);
        check(200, true, 999, true);
        check(200, true, 502, true);
        check(200, true, 30, true);
    }

    #[test]
    fn a_count_without_the_cache_proves_nothing() {
        check(200, false, 30, false);
        check(200, true, 0, false);
        let messages = vec![Message::user(PROSE.repeat(200)).into()];
        assert_eq!(Prompt::new(messages, None, true).cut_to(1), None);
    }
}
