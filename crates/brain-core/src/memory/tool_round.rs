//! What a tool round is as messages, and where it ends: the rule that keeps heads out of one.
//!
//! It judges a branch. What goes into a model's context is the context window's business.

use super::{CallRecord, CallState};
use crate::chat::{Message, Role};

/// A round as messages: calls without a result are told to have been interrupted.
pub(crate) fn round(reply: Option<Message>, calls: &[CallRecord]) -> Vec<Message> {
    let results = calls.iter().map(|it| {
        let unknown = match it.state {
            CallState::Started => "interrupted; it may or may not have run",
            CallState::Planned
            | CallState::Waiting
            | CallState::Approved
            | CallState::Denied
            | CallState::Done => "interrupted before it ran",
        };
        Message::tool(it.call.id.clone(), it.result.as_deref().unwrap_or(unknown))
    });
    reply.into_iter().chain(results).collect()
}

/// Whether a branch ends between a tool call and its result; the branch's messages, newest first.
///
/// Reads no further back than the round's calls. A result without its call is no round.
pub fn inside_tool_round<'a>(newest_first: impl IntoIterator<Item = &'a Message>) -> bool {
    let mut answered = Vec::new();
    for message in newest_first {
        match message.role {
            Role::Tool => answered.extend(message.tool_call_id.as_deref()),
            Role::System | Role::User | Role::Assistant => {
                return message.tool_calls.iter().any(|call| !answered.contains(&call.id.as_str()));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::inside_tool_round;
    use crate::chat::{Message, ToolCall};

    fn calls(ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: "t".into(),
            arguments: "{}".into(),
            provider_id: None,
        };
        Message { tool_calls: ids.iter().map(call).collect(), ..Message::assistant("") }
    }

    fn check(oldest_first: &[Message], inside: bool) {
        assert_eq!(inside_tool_round(oldest_first.iter().rev()), inside, "{oldest_first:?}");
    }

    #[test]
    fn a_round_ends_with_its_last_result() {
        check(&[], false);
        check(&[Message::user("hi")], false);
        check(&[Message::assistant("hi")], false);
        check(&[calls(&["a", "b"])], true);
        check(&[calls(&["a", "b"]), Message::tool("b", "")], true);
        check(&[calls(&["a", "b"]), Message::tool("b", ""), Message::tool("a", "")], false);
        check(&[Message::tool("a", "")], false);
        check(&[Message::assistant("x"), Message::tool("a", "")], false);
        check(&[calls(&["a"]), Message::tool("a", ""), Message::assistant("done")], false);
    }
}
