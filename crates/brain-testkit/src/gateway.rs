//! What every [`LlmGateway`] must do, as far as it can be told without knowing the provider.
//!
//! [`llm_gateway_suite!`](crate::llm_gateway_suite) declares one test a case. What the provider
//! says on its wire, and what it makes of a request, is for tests beside the adapter.

mod estimate;

use std::{any::Any, fmt, sync::Arc, task::Poll, time::Duration};

use brain_core::{
    chat::Message,
    llm::{
        ChatEvent, ChatRequest, ChatStream, EmbedRequest, Finish, GenerationOptions, LlmError,
        LlmErrorKind, LlmGateway, LlmGatewayExt,
    },
};
use futures_util::{StreamExt, future, poll};

pub use self::estimate::{estimate_is_never_low, long_texts_are_counted_in_time};

/// Longest that a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gateway under test, and what is particular about it.
///
/// Any gateway turns into one. What it talks to must answer every chat with some text, as often
/// as it is asked.
pub struct Subject {
    gateway: Arc<dyn LlmGateway>,
    prompt: String,
    unknown_model: String,
    secrets: Vec<String>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// This gateway.
    pub fn new(gateway: Arc<dyn LlmGateway>) -> Self {
        Self {
            gateway,
            prompt: "Say hello to the world.".to_owned(),
            unknown_model: "no-such-model".to_owned(),
            secrets: Vec::new(),
            keep: Vec::new(),
        }
    }

    /// Asks this, where another prompt would not be answered with text.
    #[must_use]
    pub fn with_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Uses this as the name of a model that there is not.
    #[must_use]
    pub fn with_unknown_model(mut self, name: impl Into<String>) -> Self {
        self.unknown_model = name.into();
        self
    }

    /// A text that must show nowhere: an API key.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// The same, dropping `guard` after the gateway: a server that it talks to.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(guard));
        self
    }

    fn request(&self, model: &str) -> ChatRequest {
        let options = GenerationOptions { max_tokens: Some(16), ..GenerationOptions::default() };
        let messages = vec![Message::user(&*self.prompt).into()];
        ChatRequest { model: model.to_owned(), messages, options, ..ChatRequest::default() }
    }

    async fn stream(&self, model: &str) -> Result<ChatStream, LlmError> {
        self.gateway.stream(self.request(model)).await
    }

    async fn default_model(&self) -> String {
        self.gateway.models().await.unwrap().models.first().unwrap().id.clone()
    }

    /// A whole answer, which keeps to the contract of [`ChatStream`].
    async fn answer(&self, model: &str) -> (String, Finish) {
        let stream = self.stream(model).await.unwrap();
        let events: Vec<ChatEvent> = stream.map(Result::unwrap).collect().await;
        whole(events)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gateway.fmt(f)
    }
}

impl<G: LlmGateway> From<G> for Subject {
    fn from(gateway: G) -> Self {
        Self::new(Arc::new(gateway))
    }
}

/// Text and end of an answer that keeps to the contract.
fn whole(mut events: Vec<ChatEvent>) -> (String, Finish) {
    let Some(ChatEvent::Finished(finish)) = events.pop() else { panic!("it does not finish") };
    assert_ne!(finish.model, "", "the answer names its model");
    let mut text = String::new();
    for event in events {
        match event {
            ChatEvent::Text(more) => {
                assert_ne!(more, "", "no text is empty");
                text.push_str(&more);
            }
            ChatEvent::Reasoning(more) => assert_ne!(more, "", "no reasoning is empty"),
            ChatEvent::Finished(_) => panic!("it goes on after its end"),
            ChatEvent::Progress(_)
            | ChatEvent::ToolCallDelta(_)
            | ChatEvent::ToolCall(_)
            | ChatEvent::Usage(_) => {}
        }
    }
    (text, finish)
}

/// Runs one case.
pub fn run<Made, Case>(factory: impl FnOnce() -> Made, case: impl FnOnce(Subject) -> Case)
where
    Made: Future<Output: Into<Subject>>,
    Case: Future<Output = ()>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut subject = factory().await.into();
        let keep = std::mem::take(&mut subject.keep);
        let done = tokio::time::timeout(PATIENCE, case(subject)).await;
        assert!(done.is_ok(), "the case did not end");
        drop(keep);
    });
}

/// An answer has text and ends with exactly one `Finished`.
pub async fn an_answer_finishes_once(it: Subject) {
    let (text, _) = it.answer("").await;
    assert_ne!(text, "");
}

/// After its end a stream yields nothing more, however often it is asked.
pub async fn a_finished_stream_stays_finished(it: Subject) {
    let mut stream = it.stream("").await.unwrap().fuse();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    assert!(stream.next().await.is_none());
}

/// The fold of the events is the same answer.
pub async fn an_answer_folds_to_a_reply(it: Subject) {
    let reply = it.gateway.complete(it.request("")).await.unwrap();
    assert_ne!(reply.message.joined_text(), "");
    assert_eq!(reply.message.tool_calls, []);
    assert!(reply.usage.is_none_or(|it| 0 < it.input_tokens));
}

/// A conversation of several messages is answered.
pub async fn a_conversation_is_answered(it: Subject) {
    let messages = vec![
        Message::system("Be brief.").into(),
        Message::user("Hello.").into(),
        Message::assistant("Hello!").into(),
        Message::user(&*it.prompt).into(),
    ];
    let request = ChatRequest { messages, ..it.request("") };
    it.gateway.complete(request).await.unwrap();
}

/// A stream that is dropped after its first event leaves a gateway that answers.
pub async fn a_dropped_stream_leaves_no_trace(it: Subject) {
    for _ in 0..3 {
        let mut stream = it.stream("").await.unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
    }
    it.answer("").await;
}

/// A request that is dropped before its stream begins leaves a gateway that answers.
pub async fn a_dropped_request_leaves_no_trace(it: Subject) {
    for polls in 0..3 {
        let mut request = Box::pin(it.stream(""));
        for _ in 0..polls {
            if let Poll::Ready(begun) = poll!(&mut request) {
                drop(begun.unwrap());
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    it.answer("").await;
}

/// Two answers at once are two whole answers.
pub async fn two_answers_at_once_are_whole(it: Subject) {
    let ((one, _), (two, _)) = future::join(it.answer(""), it.answer("")).await;
    assert!(!one.is_empty() && !two.is_empty());
}

/// A stream can be read on another thread.
pub async fn a_stream_can_be_handed_on(it: Subject) {
    let stream = it.stream("").await.unwrap();
    let events = tokio::task::JoinSet::from_iter([stream.map(Result::unwrap).collect()]);
    whole(events.join_all().await.remove(0));
}

/// No name is the name of the first model of the list.
pub async fn no_name_means_the_default(it: Subject) {
    let named = it.default_model().await;
    let (_, unnamed) = it.answer("").await;
    let (_, named) = it.answer(&named).await;
    assert_eq!(unnamed.model, named.model);
}

/// A model that there is not is an error that says so, and nothing to retry.
pub async fn an_unknown_model_is_refused(it: Subject) {
    let error = match it.stream(&it.unknown_model).await {
        Err(error) => error,
        Ok(mut stream) => stream.next().await.unwrap().unwrap_err(),
    };
    let expected = [LlmErrorKind::ModelNotFound, LlmErrorKind::Rejected];
    assert!(expected.contains(&error.kind()), "{error:?}");
    assert_ne!(error.to_string(), "");
    assert!(!error.is_transient());
    it.answer("").await;
}

/// The list names each model once, and says of each what `capabilities` says of it.
pub async fn the_list_agrees_with_the_capabilities(it: Subject) {
    let models = it.gateway.models().await.unwrap().models;
    let mut names: Vec<&str> = models.iter().map(|it| it.id.as_str()).collect();
    assert!(!names.contains(&""));
    for model in &models {
        assert_eq!(it.gateway.capabilities(&model.id), model.capabilities, "{}", model.id);
    }
    assert_eq!(it.gateway.capabilities(""), models[0].capabilities);
    assert!(models[0].capabilities.chat);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Each text gets a vector, all of one length; or the gateway says that it cannot.
pub async fn texts_become_vectors_of_one_length(it: Subject) {
    let inputs = vec!["a short text".to_owned(), "and a rather longer one".to_owned()];
    let embed =
        async |inputs| it.gateway.embed(EmbedRequest { model: String::new(), inputs }).await;
    match embed(inputs.clone()).await {
        Err(error) => assert_eq!(error.kind(), LlmErrorKind::Unsupported, "{error:?}"),
        Ok(made) => {
            let lengths: Vec<usize> = made.vectors.iter().map(Vec::len).collect();
            assert!(matches!(*lengths, [one, two] if one == two && 0 < one), "{lengths:?}");
            assert!(made.vectors.iter().flatten().all(|it| it.is_finite()));
            let reversed = embed(inputs.into_iter().rev().collect()).await.unwrap();
            assert_ne!(reversed.vectors, made.vectors, "the order is that of the inputs");
        }
    }
}

/// No secret shows in what is logged of the gateway and its errors.
pub async fn no_secret_shows(it: Subject) {
    let mut shown = vec![format!("{:?}", it.gateway), format!("{:#?}", it.gateway)];
    if let Err(error) = it.stream(&it.unknown_model).await {
        shown.push(format!("{error} {error:?}"));
    }
    for text in shown {
        assert!(!it.secrets.iter().any(|secret| text.contains(secret)), "a secret shows");
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __gateway_cases {
    ($factory:expr; $($case:ident),+ $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::gateway::run($factory, $crate::gateway::$case);
            }
        )+
    };
}

/// Runs the whole suite against the gateways that `$factory` makes.
///
/// `$factory` takes nothing and returns a future of a gateway or of a
/// [`gateway::Subject`](crate::gateway::Subject), which can say more:
///
/// ```
/// brain_testkit::llm_gateway_suite!(async || brain_testkit::ScriptedLlm::echo());
/// ```
#[macro_export]
macro_rules! llm_gateway_suite {
    ($factory:expr) => {
        $crate::__gateway_cases! {
            $factory;
            an_answer_finishes_once,
            a_finished_stream_stays_finished,
            an_answer_folds_to_a_reply,
            a_conversation_is_answered,
            a_dropped_stream_leaves_no_trace,
            a_dropped_request_leaves_no_trace,
            two_answers_at_once_are_whole,
            a_stream_can_be_handed_on,
            no_name_means_the_default,
            an_unknown_model_is_refused,
            the_list_agrees_with_the_capabilities,
            texts_become_vectors_of_one_length,
            no_secret_shows,
        }
    };
}
