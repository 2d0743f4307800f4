//! A model that says what the test tells it to, when the test tells it to.

mod answer;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use brain_core::{
    chat::{Message, Role, Usage},
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
        Estimate, LlmError, LlmErrorKind, LlmGateway, ModelInfo, ModelList, TokenCounter,
    },
};
use event_listener::Event;

pub use self::answer::Answer;

/// Components of the vectors that the scripted model makes.
const DIMENSIONS: usize = 16;

/// Plays scripted answers, one a request, and records what it was asked. Clones share the script.
///
/// It knows one model, `scripted`, unless [`ScriptedLlm::with_models`] says otherwise.
///
/// ```
/// use brain_testkit::{Answer, Gate, ScriptedLlm};
///
/// let gate = Gate::new();
/// let llm = ScriptedLlm::new([
///     Answer::new().call("c1", "clock", "{}").finish(),
///     Answer::new().say("It is ").wait(&gate).say("noon.").finish(),
/// ]);
/// # drop(llm);
/// ```
#[derive(Clone)]
pub struct ScriptedLlm {
    models: Vec<ModelInfo>,
    echoes: bool,
    played: Arc<Played>,
}

/// What clones share.
#[derive(Default)]
struct Played {
    state: Mutex<State>,
    changed: Event,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    requests: Vec<ChatRequest>,
    gaps: Vec<CompletionRequest>,
    cancelled: usize,
}

impl ScriptedLlm {
    /// A model with these answers. A request beyond them is refused.
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let capabilities = Capabilities {
            chat: true,
            completion: false,
            embeddings: true,
            tools: true,
            in_process: false,
            vision: true,
            context_tokens: Some(8192),
        };
        let models = vec![ModelInfo { id: "scripted".to_owned(), capabilities }];
        let llm = Self { models, echoes: false, played: Arc::default() };
        llm.state().answers.extend(answers);
        llm
    }

    /// A model that repeats the last message of the person, word by word, where no answer is
    /// scripted. A word is a token.
    #[must_use]
    pub fn echo() -> Self {
        Self { echoes: true, ..Self::new([]) }
    }

    /// The same model under other names, the default first.
    #[must_use]
    pub fn with_models(mut self, models: impl IntoIterator<Item = ModelInfo>) -> Self {
        self.models = models.into_iter().collect();
        self
    }

    /// Adds an answer to the script.
    pub fn push(&self, answer: Answer) {
        self.state().answers.push_back(answer);
    }

    /// What the model was asked so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.state().requests.clone()
    }

    /// Which gaps it was asked to fill so far.
    #[must_use]
    pub fn gaps(&self) -> Vec<CompletionRequest> {
        self.state().gaps.clone()
    }

    /// How many answers were dropped before their end.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.state().cancelled
    }

    /// Returns once the model has been asked `count` times.
    pub async fn asked(&self, count: usize) {
        self.until(|it| count <= it.requests.len()).await;
    }

    /// Returns once `count` answers have been dropped before their end.
    pub async fn dropped(&self, count: usize) {
        self.until(|it| count <= it.cancelled).await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let listener = self.played.changed.listen();
            if done(&self.state()) {
                return;
            }
            listener.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.played.state()
    }

    /// The model that a name means.
    fn model(&self, name: &str) -> Result<&ModelInfo, LlmError> {
        let known = self.models.iter().find(|it| name.is_empty() || it.id == name);
        known.ok_or_else(|| {
            let message = format!("there is no model `{name}`; ask for one of the list");
            LlmError::new(LlmErrorKind::ModelNotFound, message)
        })
    }

    fn next_answer(&self, request: &ChatRequest) -> Answer {
        match self.state().answers.pop_front() {
            Some(answer) => answer,
            None if self.echoes => echo(request),
            None => Answer::refused(LlmErrorKind::Rejected, "the script has no further answer"),
        }
    }
}

impl Played {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify(usize::MAX);
    }
}

impl fmt::Debug for ScriptedLlm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedLlm").field("models", &self.models).finish_non_exhaustive()
    }
}

fn echo(request: &ChatRequest) -> Answer {
    let last = request.messages.iter().rev().find(|it| it.role == Role::User);
    let text = last.map(|it| it.joined_text()).unwrap_or_default();
    let read = request.messages.iter().map(|it| words(&it.joined_text())).sum();
    text.split_inclusive(' ').fold(Answer::new(), Answer::say).usage(read, words(&text)).finish()
}

/// What the echo calls tokens.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

#[async_trait]
impl LlmGateway for ScriptedLlm {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        let model = self.model(&request.model)?.id.clone();
        let answer = self.next_answer(&request);
        self.played.change(|it| it.requests.push(request));
        let played = Arc::clone(&self.played);
        answer.play(model, move || played.change(|it| it.cancelled += 1)).await
    }

    /// The next answer, where a model fills gaps; the echo repeats what stands before the gap.
    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        let model = self.model(&request.model)?;
        if !model.capabilities.completion {
            let message = format!("`{}` fills no gaps; name a model that does", model.id);
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        }
        let messages = vec![Arc::new(Message::user(request.prefix.as_str()))];
        let answer = self.next_answer(&ChatRequest { messages, ..ChatRequest::default() });
        self.played.change(|it| it.gaps.push(request));
        let played = Arc::clone(&self.played);
        answer.play(model.id.clone(), move || played.change(|it| it.cancelled += 1)).await
    }

    /// One vector a text that depends on its letters only.
    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let model = self.model(&request.model)?;
        if !model.capabilities.embeddings {
            let message = format!("`{}` makes no embeddings", model.id);
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        }
        let vectors = request.inputs.iter().map(|text| embed(text)).collect();
        Ok(Embeddings { model: model.id.clone(), vectors, usage: Usage::default() })
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        Ok(self.models.clone().into())
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.model(model).map(|it| it.capabilities).unwrap_or_default()
    }

    fn tokens(&self, _model: &str) -> Arc<dyn TokenCounter> {
        Estimate::counter()
    }
}

fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSIONS];
    for letter in text.bytes() {
        vector[usize::from(letter) % DIMENSIONS] += 1.0;
    }
    vector
}
