//! What the port makes of each scenario: the table of this suite.

use brain_core::llm::{
    FinishReason::{self, ContentFilter, Length, Stop, ToolCalls},
    LlmErrorKind::{
        self, ContextOverflow, Interrupted, ModelNotFound, Overloaded, Protocol, QuotaExceeded,
        RateLimited, Rejected, Unauthorised, Unavailable,
    },
};

use super::Scenario;

/// What an answer comes to.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Its text, also of an answer that fails.
    pub text: &'static str,
    /// Its reasoning.
    pub reasoning: &'static str,
    /// Names and arguments of its tool calls.
    pub calls: &'static [(&'static str, &'static str)],
    /// Tokens in and out, where the wire says them.
    pub usage: Option<(u64, u64)>,
    /// How it ends.
    pub end: End,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Well, for this reason.
    Finished(FinishReason),
    /// With one failure of one of these kinds.
    Failed(&'static [LlmErrorKind]),
}

const READ: (&str, &str) = ("read_file", r#"{"path":"a"}"#);
const NOW: (&str, &str) = ("now", "{}");

const fn says(text: &'static str) -> Expected {
    Expected { text, reasoning: "", calls: &[], usage: None, end: End::Finished(Stop) }
}

const fn calls(calls: &'static [(&'static str, &'static str)]) -> Expected {
    Expected { calls, end: End::Finished(ToolCalls), ..says("") }
}

const fn fails(text: &'static str, kinds: &'static [LlmErrorKind]) -> Expected {
    Expected { end: End::Failed(kinds), ..says(text) }
}

/// Ten thousand letters.
const LETTERS: &str = match str::from_utf8(&[b'x'; 10_000]) {
    Ok(text) => text,
    Err(_) => "",
};

const COST: Option<(u64, u64)> = Some((5, 2));

impl Scenario {
    /// What it comes to on every wire.
    #[must_use]
    pub fn expected(self) -> Expected {
        match self {
            Self::Text => says("Žluť 🦊"),
            Self::Usage | Self::Whole => Expected { usage: COST, ..says("Hi") },
            Self::Reasoning => Expected { reasoning: "Hm", ..says("Hi") },
            Self::Call => calls(&[READ]),
            Self::TwoCalls | Self::NoCallIds | Self::SameCallIds | Self::NoIndex => {
                calls(&[READ, NOW])
            }
            Self::NoArguments => calls(&[NOW]),
            Self::Length => Expected { end: End::Finished(Length), ..says("Hi") },
            Self::Filter => Expected { end: End::Finished(ContentFilter), ..says("Hi") },
            Self::Unknown | Self::KeepAlive | Self::CrLf | Self::ContentType => says("Hi"),
            Self::HalfCharacter => says("a\u{FFFD}b"),
            Self::TinyPieces => says(LETTERS),
            Self::CutBefore | Self::Empty => fails("", &[Interrupted, Unavailable]),
            Self::CutAfter | Self::EndsEarly | Self::StallAfter | Self::ErrorAfter => {
                fails("Hel", &[Interrupted])
            }
            Self::StallBefore | Self::ErrorBefore | Self::ProxyPage | Self::Broken => {
                fails("", &[Unavailable])
            }
            Self::BadJson | Self::LongLine => fails("Hel", &[Protocol]),
            Self::ErrorWithStatusOk => fails("", &[Unavailable, Rejected]),
            Self::WebPage => fails("", &[Protocol]),
            Self::WrongKey => fails("", &[Unauthorised]),
            Self::WrongModel => fails("", &[ModelNotFound]),
            Self::WrongPath => fails("", &[Rejected]),
            Self::TooLong => fails("", &[ContextOverflow]),
            Self::RateLimited => fails("", &[RateLimited]),
            Self::Quota => fails("", &[QuotaExceeded]),
            Self::Overloaded => fails("", &[Overloaded]),
        }
    }
}
