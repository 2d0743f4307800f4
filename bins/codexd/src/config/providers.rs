//! The providers that this daemon has, who of them answers, and whether the models that settings
//! name can be asked. It connects to nothing.

use client_commands::is_gguf;
use provider_settings::{KNOWN, Kind, LOCAL, Server, is_provider, needs, not_configured};

use super::{Local, reader::Reader};
use crate::gateways;

impl Reader<'_> {
    /// Every server that is configured and built in.
    pub(super) fn servers(&mut self) -> Vec<Server> {
        let is_there = |it: &Server| match it.kind {
            Kind::OpenAi | Kind::Azure | Kind::TabbyMl | Kind::Compatible => {
                cfg!(feature = "openai")
            }
            Kind::Ollama => cfg!(feature = "ollama"),
        };
        let (servers, others): (Vec<_>, Vec<_>) =
            provider_settings::servers(&mut self.0).into_iter().partition(is_there);
        let ignored = others.iter().map(|it| format!("{}: not built in; ignored", it.name));
        self.warnings.extend(ignored);
        servers
    }

    /// Who answers where a request names no provider.
    pub(super) fn provider(&mut self, servers: &[Server]) -> String {
        let local = cfg!(feature = "local").then_some(LOCAL);
        let names: Vec<_> = servers.iter().map(|it| it.name.as_str()).chain(local).collect();
        let chosen = self.settings.get("MODEL_PROVIDER");
        let Some(usual) = names.first().copied() else {
            self.wrong("MODEL_PROVIDER: no provider is built in; build with `--features local`");
            return LOCAL.to_owned();
        };
        let Some(name) = chosen.filter(|it| !names.contains(it)) else {
            return chosen.unwrap_or(usual).to_owned();
        };
        let sentence = match KNOWN.iter().find(|it| it.0 == name) {
            Some(_) => format!("MODEL_PROVIDER: {}", needs(name)),
            None => {
                let tables =
                    servers.iter().filter(|it| !KNOWN.iter().any(|known| known.0 == it.name));
                let all = KNOWN.iter().map(|it| it.0).chain(tables.map(|it| it.name.as_str()));
                let all = all.chain(local).collect::<Vec<_>>().join(" or ");
                format!("MODEL_PROVIDER: `{name}` will not do; use {all}")
            }
        };
        self.wrong(sentence);
        name.to_owned()
    }

    pub(super) fn fallback(&self) -> Vec<String> {
        let names = self.settings.get("MODEL_FALLBACK").unwrap_or_default().split(',');
        names.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// Models of providers that nobody can ask, and names that the local model does not have.
    pub(super) fn look_at_models(&mut self, provider: &str, servers: &[Server], local: &Local) {
        let named = ["MODEL", "SUMMARY_MODEL"].map(|it| (it, self.settings.get(it)));
        let named = named.into_iter().filter_map(|(name, it)| Some((name, it?.to_owned())));
        let fallback = self.fallback().into_iter().map(|it| ("MODEL_FALLBACK", it));
        for (name, model) in named.chain(fallback).filter(|it| it.1 != "off") {
            if let Some(problem) = problem(&model, provider, servers, local) {
                self.wrong(format!("{name}: {problem}"));
            }
        }
    }
}

/// What is wrong with the name of a model, and what to do.
fn problem(model: &str, default: &str, servers: &[Server], local: &Local) -> Option<String> {
    if model.starts_with('/') || model.ends_with('/') {
        return Some(format!("`{model}` will not do; use provider/model, or the name of a model"));
    }
    let (provider, name) = match model.split_once('/') {
        None => (default, model),
        Some((first, rest)) if first == LOCAL || is_provider(first, servers) => (first, rest),
        // A server may have such names; the local model has not.
        Some(_) if default != LOCAL => return None,
        Some((first, _)) => (first, model),
    };
    let file = &local.chat_model;
    if provider == LOCAL && cfg!(feature = "local") {
        let is_other = is_gguf(file) && !gateways::is_local_model(name, file);
        let file = file.display();
        return is_other.then(|| format!("`{model}` is not the local model, which is {file}"));
    }
    let is_there = servers.iter().any(|it| it.name == provider);
    // A default that is not there is a problem of its own.
    let is_told = is_there || (provider == default && !model.contains('/'));
    (!is_told).then(|| not_configured(model, provider))
}
