//! Every provider behind the real program: who answers, who stands in, and which setting is to mend.

use std::process::Command;

use brain_testkit::{
    Answer,
    model_server::{Fault, ModelServer, ServerConfig, Wire},
};
use serde_json::Value;

use crate::daemon::{Daemon, Ended, Home};

/// What every server here wants.
const KEY: &str = "sk-hunter2";

fn server(answers: &[&str]) -> ModelServer {
    let script = answers.iter().map(|it| Answer::text(*it).into()).collect();
    let api_key = Some(KEY.to_owned());
    ModelServer::with(ServerConfig { script, api_key, ..ServerConfig::default() }).unwrap()
}

/// A command with the settings of one provider, and none of the others.
fn command(home: &Home, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = home.codexd(arguments);
    command.env_remove("OPENAI_BASE_URL").env_remove("MODEL").env("MODEL_RETRIES", "0");
    command.envs(settings.iter().copied());
    command
}

fn ask(home: &Home, settings: &[(&str, &str)]) -> Ended {
    Ended::of(&command(home, &["ask", "--json", "Hi"], settings).output().unwrap())
}

fn answer(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err))
}

/// Each provider, the settings that reach it, and the variable that holds its key.
fn providers(server: &ModelServer, key: &str) -> Vec<(&'static str, Vec<(String, String)>)> {
    let of = |wire, url: &str, key_name: &str, more: &[(&str, &str)]| {
        let own = [(url, server.base_url(wire)), (key_name, key.to_owned())];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        own.into_iter().chain(more).collect()
    };
    let (deployment, version) = ("AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_API_VERSION");
    let (azure_url, azure_key) = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY");
    let dated = [(deployment, "mock"), (version, "2024-10-21")];
    let openai = of(Wire::OpenAi, "OPENAI_BASE_URL", "OPENAI_API_KEY", &[("MODEL", "mock")]);
    vec![
        ("OPENAI_API_KEY", openai),
        (azure_key, of(Wire::Azure, azure_url, azure_key, &dated[..1])),
        (azure_key, of(Wire::Azure, azure_url, azure_key, &dated)),
        ("TABBYML_API_KEY", of(Wire::TabbyMl, "TABBYML_BASE_URL", "TABBYML_API_KEY", &[])),
    ]
}

fn pairs(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn every_provider_answers_and_is_named() {
    let server = server(&["A", "B", "C", "D"]);
    for (index, (key, settings)) in providers(&server, KEY).iter().enumerate() {
        let home = Home::new();
        let reply = answer(&ask(&home, &pairs(settings)));
        let said = &reply["message"]["content"][0]["text"];
        assert_eq!(said, ["A", "B", "C", "D"][index], "{key}: {reply}");
        let model = reply["message"]["model"].as_str().unwrap();
        let provider = key.split('_').next().unwrap().to_lowercase();
        assert!(model.starts_with(&format!("{provider}/")), "{model}");
    }
}

#[test]
fn ollama_needs_no_key() {
    let server = ModelServer::start([Answer::text("At home.")]);
    let home = Home::new();
    let url = server.base_url(Wire::Ollama);
    let settings = [("OLLAMA_BASE_URL", url.as_str()), ("MODEL", "ollama/mock")];
    let reply = answer(&ask(&home, &settings));
    assert_eq!(reply["message"]["content"][0]["text"], "At home.", "{reply}");
    assert!(reply["message"]["model"].as_str().unwrap().starts_with("ollama/"), "{reply}");
}

#[test]
fn a_wrong_key_is_told_by_its_name_alone() {
    let server = server(&[]);
    for (key, settings) in providers(&server, "sk-sesame") {
        let home = Home::new();
        let settings = pairs(&settings);
        let ended = ask(&home, &settings);
        let error = answer(&ended)["error"].clone();
        assert_eq!(error["code"], "provider_unauthorised", "{error}");
        let check = Ended::of(&command(&home, &["check"], &settings).output().unwrap());
        assert_eq!(check.code, 64, "{}{}", check.out, check.err);
        for text in [error["message"].as_str().unwrap(), &check.err] {
            assert!(text.contains(key) && !text.contains("sesame"), "{key}: {text}");
        }
    }
}

#[test]
fn another_provider_stands_in_and_says_so() {
    let (first, second) = (server(&[]), server(&["Here I am."]));
    first.push(Fault::Status { status: 503, retry_after: None });
    let home = Home::new();
    let table = format!(
        "[providers.spare]\nbase_url = '{}'\napi_key = '{KEY}'\n",
        second.base_url(Wire::OpenAi)
    );
    std::fs::write(home.path().join("codexd.toml"), table).unwrap();
    let url = first.base_url(Wire::OpenAi);
    let reply = answer(&ask(
        &home,
        &[
            ("OPENAI_BASE_URL", &url),
            ("OPENAI_API_KEY", KEY),
            ("MODEL", "mock"),
            ("MODEL_FALLBACK", "spare/mock"),
        ],
    ));
    assert_eq!(reply["message"]["content"][0]["text"], "Here I am.", "{reply}");
    assert!(reply["message"]["model"].as_str().unwrap().starts_with("spare/"), "{reply}");
    let passed_over = &reply["context"]["fallback"][0];
    assert_eq!(passed_over["code"], "provider_overloaded", "{reply}");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[test]
fn a_pause_that_a_provider_asks_for_reaches_the_caller() {
    let server = server(&[]);
    server.push(Fault::Status { status: 429, retry_after: Some(7) });
    let home = Home::new();
    let url = server.base_url(Wire::OpenAi);
    let settings = [("OPENAI_BASE_URL", url.as_str()), ("OPENAI_API_KEY", KEY), ("MODEL", "mock")];
    let daemon = Daemon::start(command(&home, &["serve", "--port", "0"], &settings));
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer =
        agent.post(format!("{}/chat", daemon.url)).send_json(serde_json::json!({"message": "Hi"}));
    let mut answer = answer.unwrap();
    let problem: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(problem["code"], "provider_rate_limited", "{problem}");
    assert_eq!(answer.headers()["retry-after"], "7");
}
