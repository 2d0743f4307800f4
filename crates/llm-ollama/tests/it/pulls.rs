//! Missing models are pulled: once, for all who wait, as long as somebody does.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use brain_core::llm::{
    ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, LlmErrorKind, LlmGateway,
    Progress,
};
use futures_util::{StreamExt, future::join_all};
use llm_ollama::{OllamaConfig, OllamaGateway};
use serde_json::{Value, json};

use crate::{
    CHAT, PULL, SHOW, assert_tells, config, done, drain, gateway, hello, joined, question,
    server::{Reply, Server},
    shown, text_of,
};

/// How the server answers its pulls, in order, the last one again and again.
type Pulls = Vec<Reply>;

/// A server that has no model until a pull of it ended with `success`.
async fn library(pulls: Pulls) -> Server {
    let installed = Arc::new(Mutex::new(HashSet::new()));
    let (pulled, shows) = (AtomicUsize::new(0), AtomicU32::new(0));
    Server::start(move |asked| {
        let model = asked.model().trim_end_matches(":latest").to_owned();
        let is_installed = installed.lock().unwrap().contains(&model);
        match asked.line.as_str() {
            "GET /api/version" => Reply::json(200, &json!({"version": "0.33.0"})),
            PULL => {
                let number = pulled.fetch_add(1, Ordering::SeqCst).min(pulls.len() - 1);
                let reply = pulls[number].clone();
                let succeeds = format!("{reply:?}").contains("success");
                let installed = Arc::clone(&installed);
                let install = move || installed.lock().unwrap().extend([model.clone()]);
                if succeeds { reply.before_last(install) } else { reply }
            }
            _ if !is_installed => Reply::error(404, &format!("model '{model}' not found")),
            // Each time it is another one.
            SHOW => Reply::json(200, &shown(4_096 + shows.fetch_add(1, Ordering::SeqCst))),
            CHAT => {
                if model == "lost" {
                    installed.lock().unwrap().clear();
                }
                Reply::lines(&hello())
            }
            "POST /api/generate" => Reply::lines(&[json!({"response": "x"}), done()]),
            "POST /api/embed" => Reply::json(200, &json!({"embeddings": [[1, 0]]})),
            other => panic!("{other}"),
        }
    })
    .await
}

/// A line that says how much of one layer of 100 bytes is there.
fn layer(completed: u64) -> Value {
    json!({"status": "pulling a1", "digest": "sha256:a1", "total": 100, "completed": completed})
}

fn status(status: &str) -> Value {
    json!({ "status": status })
}

fn whole() -> Reply {
    Reply::lines(&[status("pulling manifest"), layer(100), status("success")])
}

fn named(model: &str) -> ChatRequest {
    ChatRequest { model: model.to_owned(), ..question("Hi") }
}

/// Reads until so many bytes are there.
async fn read_until(stream: &mut ChatStream, bytes: u64) -> Progress {
    loop {
        match stream.next().await.unwrap().unwrap() {
            ChatEvent::Progress(progress) if bytes <= progress.done => return progress,
            ChatEvent::Progress(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn amounts(events: &[ChatEvent]) -> Vec<u64> {
    let amounts = events.iter().filter_map(|it| match it {
        ChatEvent::Progress(progress) => Some(progress.done),
        _ => None,
    });
    amounts.collect()
}

#[tokio::test]
async fn a_missing_model_is_pulled_once_for_all_who_wait_and_remembered() {
    let pull = Reply::lines(&[status("pulling manifest"), layer(10)]).then_gate().then(&[
        layer(60),
        status("verifying sha256 digest"),
        status("success"),
    ]);
    let server = library(vec![pull]).await;
    let gateway = gateway(&server);
    let mut streams = Vec::new();
    for model in ["qwen3", "", "qwen3:latest", "qwen3", ""] {
        let mut stream = gateway.stream(named(model)).await.unwrap();
        let progress = read_until(&mut stream, 10).await;
        assert_eq!((progress.stage.as_str(), progress.total), ("pulling qwen3", 100));
        streams.push(stream);
    }
    server.open(1);
    let answers = join_all(streams.into_iter().map(drain)).await;
    for (events, failure) in answers {
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(joined(&events), "Žluť 🦊");
        assert_eq!(amounts(&events).last(), Some(&60), "{events:?}");
    }
    assert_eq!(server.asked(PULL).len(), 1);
    assert_eq!(server.asked(PULL)[0].body, json!({"model": "qwen3", "stream": true}));
    assert_eq!(server.asked(CHAT).len(), 5);

    let shows = server.asked(SHOW).len();
    text_of(gateway.stream(named("qwen3")).await.unwrap()).await;
    assert_eq!((server.asked(PULL).len(), server.asked(SHOW).len()), (1, shows));
}

#[tokio::test]
async fn a_pull_goes_on_while_somebody_waits_and_ends_with_the_last_one() {
    let pull = Reply::lines(&[layer(10)]).then_gate().then(&[layer(60)]).then_stall();
    let server = library(vec![pull, whole()]).await;
    let gateway = gateway(&server);
    let mut first = gateway.stream(named("qwen3")).await.unwrap();
    read_until(&mut first, 10).await;
    let mut second = gateway.stream(named("qwen3")).await.unwrap();
    read_until(&mut second, 10).await;
    drop(first);
    server.open(1);
    read_until(&mut second, 60).await;
    assert_eq!(server.hang_ups(), 0);
    drop(second);
    assert!(server.hang_ups_within(1, Duration::from_millis(200)).await);
    assert_eq!(server.asked(PULL).len(), 1);

    // Who asks again begins another pull, and the server goes on from what it has.
    assert_eq!(text_of(gateway.stream(named("qwen3")).await.unwrap()).await, "Žluť 🦊");
    assert_eq!(server.asked(PULL).len(), 2);
}

#[tokio::test]
async fn a_stream_that_is_never_read_ends_its_pull_too() {
    let server = library(vec![Reply::lines(&[layer(10)]).then_stall()]).await;
    let gateway = gateway(&server);
    let unread = gateway.stream(named("qwen3")).await.unwrap();
    let mut read = gateway.stream(named("qwen3")).await.unwrap();
    read_until(&mut read, 10).await;
    drop(read);
    drop(unread);
    assert!(server.hang_ups_within(1, Duration::from_millis(200)).await);
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_the_next_one_tries_again() {
    let failing = Reply::lines(&[status("pulling manifest")])
        .then_gate()
        .then(&[json!({"error": "pull model manifest: file does not exist"})]);
    let server = library(vec![failing, whole()]).await;
    let gateway = gateway(&server);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(gateway.stream(named("qwen9")).await.unwrap());
    }
    server.open(1);
    for (events, failure) in join_all(streams.into_iter().map(drain)).await {
        let failure = failure.unwrap();
        assert_eq!((failure.kind(), failure.is_transient()), (LlmErrorKind::ModelNotFound, false));
        assert!(failure.to_string().contains("`qwen9`"), "{failure}");
        assert_tells(&failure, &server.host());
        assert!(events.iter().all(|it| matches!(it, ChatEvent::Progress(_))), "{events:?}");
    }
    assert_eq!(server.asked(PULL).len(), 1);
    text_of(gateway.stream(named("qwen9")).await.unwrap()).await;
    assert_eq!(server.asked(PULL).len(), 2);
}

#[tokio::test]
async fn a_pull_that_breaks_off_goes_on_as_long_as_it_comes_further() {
    let broken = [Reply::lines(&[layer(40)]).then_cut(), Reply::lines(&[layer(0), layer(50)])];
    let server = library([&broken[..], &[whole()]].concat()).await;
    let stream = gateway(&server).stream(named("qwen3")).await.unwrap();
    let (events, failure) = drain(stream).await;
    assert!(failure.is_none(), "{failure:?}");
    assert!(amounts(&events).is_sorted(), "{events:?}");
    assert_eq!(amounts(&events).last(), Some(&100));
    assert_eq!(server.asked(PULL).len(), 3);

    let server = library(vec![Reply::lines(&[layer(40)]).then_cut()]).await;
    let stream = gateway(&server).stream(named("qwen3")).await.unwrap();
    let failure = drain(stream).await.1.unwrap();
    assert_eq!((failure.kind(), failure.is_transient()), (LlmErrorKind::Interrupted, true));
    assert!(failure.to_string().contains("goes on from there"), "{failure}");
    assert_tells(&failure, &server.host());
    assert_eq!(server.asked(PULL).len(), 2, "the second came no further");
}

#[tokio::test]
async fn a_server_that_refuses_to_pull_says_why() {
    let full = json!({"error": "write /models/x: no space left on device"});
    for reply in [Reply::error(500, full["error"].as_str().unwrap()), Reply::lines(&[full])] {
        let server = library(vec![reply]).await;
        let stream = gateway(&server).stream(named("qwen3")).await.unwrap();
        let failure = drain(stream).await.1.unwrap();
        assert_eq!((failure.kind(), failure.is_transient()), (LlmErrorKind::Unavailable, false));
        assert!(failure.to_string().contains("no room on its disk"), "{failure}");
    }
}

#[tokio::test]
async fn embeddings_and_completions_pull_as_well() {
    let server = library(vec![whole()]).await;
    let gateway = gateway(&server);
    let request = EmbedRequest { model: String::new(), inputs: vec!["a".to_owned()] };
    assert_eq!(gateway.embed(request).await.unwrap().vectors, [[1.0, 0.0]]);
    assert_eq!(server.asked(PULL)[0].model(), "vectors");
    let request = CompletionRequest { prefix: "a".to_owned(), ..CompletionRequest::default() };
    assert_eq!(text_of(gateway.complete_text(request).await.unwrap()).await, "x");
    assert_eq!(server.asked(PULL)[1].model(), "qwen3");
}

#[tokio::test]
async fn a_model_that_the_server_lost_is_pulled_again_with_the_same_context() {
    let server = library(vec![whole()]).await;
    let gateway = gateway(&server);
    for _ in 0..2 {
        // This server loses the model with each answer.
        assert_eq!(text_of(gateway.stream(named("lost")).await.unwrap()).await, "Žluť 🦊");
    }
    assert_eq!(server.asked(PULL).len(), 2);
    let sent = server.asked(CHAT);
    let contexts: HashSet<_> =
        sent.iter().map(|it| it.body["options"]["num_ctx"].as_u64()).collect();
    assert_eq!((sent.len(), contexts), (3, HashSet::from([Some(4_096)])));
}

#[tokio::test]
async fn an_operator_may_forbid_it() {
    let server = library(vec![whole()]).await;
    let gateway = OllamaGateway::new(OllamaConfig { may_pull: false, ..config(&server) }).unwrap();
    let error = gateway.stream(named("qwen3:8b")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    assert!(error.to_string().contains("run `ollama pull qwen3:8b` there"), "{error}");
    assert_tells(&error, &server.host());
    let request = EmbedRequest { model: String::new(), inputs: vec!["a".to_owned()] };
    assert_eq!(gateway.embed(request).await.unwrap_err().kind(), LlmErrorKind::ModelNotFound);
    assert!(server.asked(PULL).is_empty());
}
