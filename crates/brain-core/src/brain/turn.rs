//! One turn as a state machine: it decides, it never awaits.
//!
//! The driver feeds it and does what it says. It knows no store and no clock.

pub(super) use crate::memory::round;
use crate::{
    chat::{Message, Usage},
    llm::Reply,
    memory::{CallRecord, CallState},
};

/// What the driver must do next. Exhaustive on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the model, then call [`Turn::on_reply`].
    AskModel,
    /// Run the call at this position of [`Turn::calls`]: [`Turn::on_started`], then
    /// [`Turn::on_result`].
    RunTool(usize),
    /// Append the messages of [`Turn::round`], then call [`Turn::on_round_stored`].
    StoreRound,
    /// The turn is complete; [`Turn::answer`] is the answer.
    Done,
    /// The model would not stop calling tools.
    GaveUp,
}

/// One turn: model calls and tool rounds until an answer.
#[derive(Clone, Debug)]
pub struct Turn {
    max_rounds: u32,
    rounds: u32,
    reply: Option<Message>,
    calls: Vec<CallRecord>,
    usage: Option<Usage>,
}

impl Turn {
    /// A turn that asks the model at most `max_rounds` times for tools.
    #[must_use]
    pub fn new(max_rounds: u32) -> Self {
        Self { max_rounds, rounds: 0, reply: None, calls: Vec::new(), usage: None }
    }

    /// What to do now.
    #[must_use]
    pub fn next_step(&self) -> Step {
        if self.reply.is_none() {
            return if self.rounds <= self.max_rounds { Step::AskModel } else { Step::GaveUp };
        }
        if self.calls.is_empty() {
            return Step::Done;
        }
        match self.calls.iter().position(|it| it.result.is_none()) {
            Some(position) => Step::RunTool(position),
            None => Step::StoreRound,
        }
    }

    /// The model answered. `allowed` says which calls may run; the others get `denial` as result.
    pub fn on_reply(&mut self, reply: Reply, allowed: impl Fn(&str) -> bool, denial: &str) {
        if let Some(usage) = reply.usage {
            self.on_usage(usage);
        }
        self.calls =
            reply.message.tool_calls.iter().map(|call| plan(call, &allowed, denial)).collect();
        self.reply = Some(reply.message);
    }

    /// A model call cost this, whatever came of it.
    pub fn on_usage(&mut self, usage: Usage) {
        *self.usage.get_or_insert_default() += usage;
    }

    /// The call at `position` may have run from now on.
    pub fn on_started(&mut self, position: usize) {
        if let Some(call) = self.calls.get_mut(position) {
            call.state = CallState::Started;
        }
    }

    /// The call at `position` has this result.
    pub fn on_result(&mut self, position: usize, result: String) {
        if let Some(call) = self.calls.get_mut(position) {
            call.state = CallState::Done;
            call.result = Some(result);
        }
    }

    /// The round is in the history.
    pub fn on_round_stored(&mut self) {
        self.rounds += 1;
        self.reply = None;
        self.calls.clear();
    }

    /// The calls of the round under way, in the model's order.
    #[must_use]
    pub fn calls(&self) -> &[CallRecord] {
        &self.calls
    }

    /// The finished round: the model's message and one result a call, in the model's order.
    #[must_use]
    pub fn round(&self) -> Vec<Message> {
        round(self.reply.clone(), &self.calls)
    }

    /// The answer, once [`Step::Done`].
    #[must_use]
    pub fn answer(&self) -> Option<&Message> {
        self.reply.as_ref()
    }

    /// What the model calls cost so far, as far as was told.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn plan(call: &crate::chat::ToolCall, allowed: impl Fn(&str) -> bool, denial: &str) -> CallRecord {
    let call = call.clone();
    if allowed(&call.name) {
        return CallRecord { call, state: CallState::Approved, result: None };
    }
    CallRecord { call, state: CallState::Denied, result: Some(denial.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Step, Turn};
    use crate::{
        chat::{Message, Role, ToolCall},
        llm::{Finish, FinishReason, Reply},
        memory::CallState,
    };

    fn reply(calls: usize) -> Reply {
        let call = |it: usize| ToolCall {
            id: format!("c{it}"),
            name: if it.is_multiple_of(3) { "shell".into() } else { "read".into() },
            arguments: "{}".into(),
            provider_id: None,
        };
        let message =
            Message { tool_calls: (0..calls).map(call).collect(), ..Message::assistant("") };
        let finish = Finish { reason: FinishReason::Stop, model: "m".into() };
        Reply { message, finish, usage: None }
    }

    #[test]
    fn a_denied_call_never_runs_and_is_answered() {
        let mut turn = Turn::new(8);
        assert_eq!(turn.next_step(), Step::AskModel);
        turn.on_reply(reply(2), |name| name == "read", "denied");
        assert_eq!(turn.next_step(), Step::RunTool(1));
        turn.on_started(1);
        assert_eq!(turn.calls()[1].state, CallState::Started);
        turn.on_result(1, "text".into());
        assert_eq!(turn.next_step(), Step::StoreRound);
        let results: Vec<String> = turn.round()[1..].iter().map(Message::joined_text).collect();
        assert_eq!(results, ["denied", "text"]);
        turn.on_round_stored();
        turn.on_reply(reply(0), |_| true, "denied");
        assert_eq!(turn.next_step(), Step::Done);
    }

    proptest! {
        #[test]
        fn every_call_is_answered_once_before_the_next_model_call(
            rounds in prop::collection::vec(0..5usize, 1..12),
        ) {
            let mut turn = Turn::new(4);
            let mut replies = rounds.into_iter();
            let mut steps = 0;
            loop {
                steps += 1;
                prop_assert!(steps < 100);
                match turn.next_step() {
                    Step::AskModel => {
                        turn.on_reply(reply(replies.next().unwrap_or(0)), |name| name == "read", "no");
                    }
                    Step::RunTool(position) => {
                        turn.on_started(position);
                        turn.on_result(position, "r".into());
                    }
                    Step::StoreRound => {
                        let round = turn.round();
                        let calls: Vec<_> = round[0].tool_calls.iter().map(|it| it.id.clone()).collect();
                        let results: Vec<_> =
                            round[1..].iter().filter_map(|it| it.tool_call_id.clone()).collect();
                        prop_assert_eq!(calls, results);
                        prop_assert!(round[1..].iter().all(|it| it.role == Role::Tool));
                        turn.on_round_stored();
                    }
                    Step::Done | Step::GaveUp => break,
                }
            }
        }
    }
}
