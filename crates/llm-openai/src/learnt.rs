//! What one server has said of itself and its models; no I/O.
//!
//! It is a memory of the process: everything in it is found out again after a restart.

use std::collections::HashMap;

use brain_core::llm::Capabilities;
use serde_json::Value;

use crate::{
    dialect::Dialect,
    make::Make,
    wire::{ModelCard, ServerProps},
};

/// Most models that something is remembered of; names come from clients, so there must be a bound.
const MAX_MODELS: usize = 4_096;

/// What one server has said so far.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// What its list of models tells; `None` while nothing does.
    pub(crate) make: Option<&'static Make>,
    /// Whether it was asked for its list.
    pub(crate) listed: bool,
    /// What was learnt from refusals, by model.
    dialects: HashMap<String, Dialect>,
    /// What its last list said, by model.
    facts: HashMap<String, Facts>,
    /// Which model answers for a deployment.
    served: HashMap<String, String>,
}

/// What a server says that one of its models can do; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    chat: Option<bool>,
    completion: Option<bool>,
    tools: Option<bool>,
    vision: Option<bool>,
    context_tokens: Option<u32>,
}

impl Learnt {
    pub(crate) fn dialect(&self, model: &str) -> Option<Dialect> {
        self.dialects.get(model).cloned()
    }

    pub(crate) fn remember(&mut self, model: &str, dialect: Dialect) {
        keep(&mut self.dialects, model, dialect);
    }

    /// The name by which a model is known to the world.
    pub(crate) fn served<'a>(&'a self, model: &'a str) -> &'a str {
        self.served.get(model).map_or(model, String::as_str)
    }

    pub(crate) fn serves(&mut self, deployment: &str, model: &str) {
        if self.served.get(deployment).is_none_or(|known| known != model) {
            keep(&mut self.served, deployment, model.to_owned());
        }
    }

    /// Takes a server's list.
    pub(crate) fn list(&mut self, cards: &[ModelCard], props: Option<&ServerProps>) {
        // A gateway to several servers says several owners, and is none of their makes.
        let owner = cards.first().and_then(|card| card.owned_by.as_deref());
        let alone = cards.iter().all(|card| card.owned_by.as_deref() == owner);
        self.make = owner.filter(|_| alone).and_then(Make::by_owner);
        self.listed = true;
        let facts = cards.iter().take(MAX_MODELS).map(|card| {
            let facts = Facts::of_card(card);
            let facts = props.map_or(facts, |props| facts.or(Facts::of_props(props)));
            (card.id.clone(), facts)
        });
        self.facts = facts.collect();
    }

    /// `known`, where the server says nothing else of the model.
    pub(crate) fn capabilities(&self, model: &str, known: Capabilities) -> Capabilities {
        let facts = self.facts.get(model).copied().unwrap_or_default();
        Capabilities {
            chat: facts.chat.unwrap_or(known.chat),
            completion: facts.completion.unwrap_or(known.completion),
            tools: facts.tools.unwrap_or(known.tools),
            vision: facts.vision.unwrap_or(known.vision),
            context_tokens: facts.context_tokens.or(known.context_tokens),
            ..known
        }
    }
}

fn keep<T>(map: &mut HashMap<String, T>, model: &str, value: T) {
    if map.len() < MAX_MODELS || map.contains_key(model) {
        map.insert(model.to_owned(), value);
    }
}

impl Facts {
    fn of_card(card: &ModelCard) -> Self {
        let can = |name| card.capabilities.as_ref().and_then(|it| it.get(name)?.as_bool());
        let modalities = card.architecture.as_ref().and_then(|it| it.get("input_modalities"));
        let has = |list: Option<&Value>, name: &str| {
            let list = list.and_then(Value::as_array)?;
            Some(list.iter().any(|it| it == name))
        };
        let context = [
            &card.max_model_len,
            &card.context_length,
            &card.context_window,
            &card.max_context_length,
        ];
        Self {
            chat: can("completion_chat"),
            completion: can("completion_fim"),
            tools: can("function_calling").or(has(card.supported_parameters.as_ref(), "tools")),
            vision: can("vision").or(has(modalities, "image")),
            context_tokens: context.into_iter().flatten().find_map(tokens),
        }
    }

    fn of_props(props: &ServerProps) -> Self {
        let settings = props.default_generation_settings.as_ref();
        let modalities = props.modalities.as_ref();
        Self {
            vision: modalities.and_then(|it| it.get("vision")?.as_bool()),
            context_tokens: settings.and_then(|it| tokens(it.get("n_ctx")?)),
            ..Self::default()
        }
    }

    /// These facts, and the other ones where these say nothing.
    fn or(self, other: Self) -> Self {
        Self {
            chat: self.chat.or(other.chat),
            completion: self.completion.or(other.completion),
            tools: self.tools.or(other.tools),
            vision: self.vision.or(other.vision),
            context_tokens: self.context_tokens.or(other.context_tokens),
        }
    }
}

fn tokens(said: &Value) -> Option<u32> {
    said.as_u64().and_then(|it| it.try_into().ok()).filter(|it| 0 < *it)
}
