//! Tool rounds: whole in the history, run once, denied where nobody can approve.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use brain_core::{
    brain::{Brain, BrainConfig, Ports, TurnRequest},
    memory::{CallState, Catalog, MemoryErrorKind, TurnState},
    tool::{ToolBox, ToolClass, ToolContext, ToolError, TypedTool},
};
use brain_testkit::{Answer, FaultyStore, Gate, Operation, ScriptedLlm};
use serde_json::{Value, json};

use crate::fixture::{id, in_memory, key, owner, ports, say, transcript, until};

#[derive(Debug)]
struct Double(Arc<AtomicUsize>);

impl TypedTool for Double {
    const NAME: &'static str = "double";
    const DESCRIPTION: &'static str = "Doubles a number.";
    const CLASS: ToolClass = ToolClass::Read;
    type Args = u64;
    type Output = u64;

    fn parameters(&self) -> Value {
        json!({ "type": "integer" })
    }

    async fn run(&self, _context: &ToolContext, args: u64) -> Result<u64, ToolError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        args.checked_mul(2).ok_or_else(|| ToolError::Broken("overflow".into()))
    }
}

#[derive(Debug)]
struct Wipe;

impl TypedTool for Wipe {
    const NAME: &'static str = "wipe";
    const DESCRIPTION: &'static str = "Deletes everything.";
    const CLASS: ToolClass = ToolClass::Write;
    type Args = ();
    type Output = ();

    fn parameters(&self) -> Value {
        json!({ "type": "null" })
    }

    async fn run(&self, _context: &ToolContext, _args: ()) -> Result<(), ToolError> {
        panic!("nobody approved this")
    }
}

fn call(id: &str, name: &str, arguments: &str) -> Answer {
    Answer::new().call(id, name, arguments).finish()
}

fn brain_with(answers: Vec<Answer>) -> (Brain, Arc<ScriptedLlm>, Arc<AtomicUsize>) {
    let (llm, runs) = (Arc::new(ScriptedLlm::new(answers)), Arc::new(AtomicUsize::new(0)));
    let tools = ToolBox::default().with(Double(runs.clone())).with(Wipe);
    let ports = Ports { tools, ..ports(in_memory(), llm.clone()) };
    (Brain::new(ports, BrainConfig::default()), llm, runs)
}

#[tokio::test]
async fn a_result_reaches_the_model_and_the_round_is_in_the_history() {
    let (brain, llm, runs) = brain_with(vec![
        Answer::new()
            .say("let me see")
            .call("c", "double", "21")
            .call("c", "wipe", "null")
            .finish(),
        Answer::text("42"),
    ]);
    let request = TurnRequest::text(Some(id("s")), "double 21 and wipe");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    let seen = until(&mut started.events, "turn.completed").await;
    let names: Vec<&str> = seen.iter().map(|it| it.kind.name()).collect();
    assert_eq!(names.iter().filter(|it| **it == "tool.call").count(), 2);
    assert_eq!(names.iter().filter(|it| **it == "tool.result").count(), 2);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let lines = transcript(&*brain.ports().store, "s").await;
    assert_eq!(lines[1], "assistant:complete:let me see");
    assert_eq!(lines[2], "tool:complete:42");
    assert!(lines[3].starts_with("tool:complete:denied"));
    assert_eq!(lines[4], "assistant:complete:42");
    let second = llm.requests().pop().unwrap();
    let ids: Vec<_> = second.messages[1].tool_calls.iter().map(|it| it.id.clone()).collect();
    assert_ne!(ids[0], ids[1], "ids are ours, since the script's are equal");
    assert_eq!(second.messages[2].tool_call_id.as_ref(), Some(&ids[0]));
}

#[tokio::test]
async fn wrong_calls_are_told_to_the_model() {
    for (name, arguments) in [("double", "{"), ("double", "\"x\""), ("nope", "1")] {
        let (brain, llm, runs) =
            brain_with(vec![call("c", name, arguments), Answer::text("sorry")]);
        assert_eq!(say(&brain, "s", "go").await.status, TurnState::Completed);
        assert_eq!(llm.requests().len(), 2);
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_broken_tool_ends_the_turn_with_a_valid_history() {
    let (brain, llm, _) =
        brain_with(vec![call("c", "double", &u64::MAX.to_string()), Answer::text("fine")]);
    let end = say(&brain, "s", "go").await;
    assert_eq!(end.error.unwrap().code, "tool_broken");
    assert_eq!(say(&brain, "s", "and now?").await.status, TurnState::Completed);
    let roles: Vec<&str> =
        llm.requests().pop().unwrap().messages.iter().map(|it| it.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "user"]);
}

#[tokio::test]
async fn a_model_that_never_stops_calling_is_stopped() {
    let answers = (0..20).map(|_| Answer::new().call("c", "double", "1").finish()).collect();
    let (brain, _, runs) = brain_with(answers);
    let end = say(&brain, "s", "go").await;
    assert_eq!(end.error.unwrap().code, "too_many_tool_rounds");
    assert_eq!(runs.load(Ordering::SeqCst), 9);
}

#[tokio::test]
async fn a_tool_that_the_request_leaves_out_does_not_run() {
    let (brain, llm, runs) = brain_with(vec![call("c", "double", "1"), Answer::text("sorry")]);
    let request =
        TurnRequest { tools: Some(Vec::new()), ..TurnRequest::text(Some(id("s")), "no tools") };
    let started = brain.chat(&owner(), request).await.unwrap();
    assert_eq!(started.events.end().await.unwrap().status, TurnState::Completed);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    let result = llm.requests().pop().unwrap().messages.pop().unwrap().joined_text();
    assert_eq!(result, "there is no tool named `double`");
}

/// Answers when its gate is opened.
#[derive(Debug)]
struct Slow(Gate);

impl TypedTool for Slow {
    const NAME: &'static str = "slow";
    const DESCRIPTION: &'static str = "Takes its time.";
    const CLASS: ToolClass = ToolClass::Read;
    type Args = ();
    type Output = ();

    fn parameters(&self) -> Value {
        json!({ "type": "null" })
    }

    async fn run(&self, _context: &ToolContext, _args: ()) -> Result<(), ToolError> {
        self.0.pass().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_call_under_way_is_shown_as_started() {
    let gate = Gate::new();
    let llm = Arc::new(ScriptedLlm::new([call("c", "slow", "null"), Answer::text("done")]));
    let tools = ToolBox::default().with(Slow(gate.clone()));
    let ports = Ports { tools, ..ports(in_memory(), llm) };
    let brain = Brain::new(ports, BrainConfig::default());
    let request = TurnRequest::text(Some(id("s")), "go");
    let started = brain.chat(&owner(), request).await.unwrap();
    gate.reached_by(1).await;
    let view = brain.turn(&owner(), started.turn).await.unwrap().unwrap();
    let states: Vec<_> = view.record.checkpoint.calls.iter().map(|it| it.state).collect();
    assert_eq!(states, [CallState::Started]);
    gate.open();
    assert_eq!(started.events.end().await.unwrap().status, TurnState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_round_whose_append_lost_its_reply_is_stored_once() {
    let store = Arc::new(FaultyStore::new(in_memory()));
    store.lose_reply(Operation::Append, 1);
    store.fail(Operation::Checkpoint, 1, MemoryErrorKind::Unavailable);
    let llm = Arc::new(ScriptedLlm::new([call("c", "double", "21"), Answer::text("42")]));
    let runs = Arc::new(AtomicUsize::new(0));
    let tools = ToolBox::default().with(Double(runs.clone()));
    let brain = Brain::new(Ports { tools, ..ports(store.clone(), llm) }, BrainConfig::default());
    assert_eq!(say(&brain, "s", "double 21").await.status, TurnState::Completed);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let session = store.session(&key("s")).await.unwrap().unwrap();
    assert_eq!(session.entries, 4, "nothing is there twice");
    assert_eq!(transcript(&*store, "s").await[3], "assistant:complete:42");
}
