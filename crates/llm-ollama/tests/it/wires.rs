//! Every scenario of the wire suite, as Ollama spells it.

use std::{sync::Arc, time::Duration};

use brain_core::llm::LlmGateway;
use brain_testkit::wire_suite::{MODEL, Scenario, Spelling, Then, Wire};
use llm_ollama::{OllamaConfig, OllamaGateway, Timeouts};
use serde_json::{Value, json};

use crate::{KEY, shown};

const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json; charset=utf-8";

struct Ollama;

fn message(message: &str) -> String {
    format!(
        r#"{{"model":"some-model","created_at":"2026-11-22T01:02:03.456789Z","message":{message},"done":false}}"#
    )
}

fn text(text: &str) -> String {
    message(&format!(r#"{{"role":"assistant","content":"{text}"}}"#))
}

fn end(reason: &str) -> String {
    format!(
        r#"{{"model":"some-model","message":{{"role":"assistant","content":""}},"done":true,"done_reason":"{reason}","total_duration":4000000000,"load_duration":900000000,"prompt_eval_count":5,"eval_count":2}}"#
    )
}

/// The text in one piece, and this end.
fn hi(reason: &str) -> Vec<String> {
    vec![text("Hi"), end(reason)]
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|it| format!("{it}\n")).collect()
}

fn ok(all: &[String]) -> Spelling {
    Spelling::ok(LINES, lines(all))
}

/// Lists of calls, each in a line, and their end.
fn calling(lists: &[&str]) -> Vec<String> {
    let list = |list: &&str| message(&format!(r#"{{"content":"","tool_calls":[{list}]}}"#));
    lists.iter().map(list).chain([end("stop")]).collect()
}

const READ: &str =
    r#"{"id":"call_1","function":{"index":0,"name":"read_file","arguments":{"path":"a"}}}"#;
const NOW: &str = r#"{"id":"call_2","function":{"index":1,"name":"now","arguments":{}}}"#;

fn calls(scenario: Scenario) -> Option<Vec<String>> {
    let both = format!("{READ},{NOW}");
    let without = |what: &str| both.replace(what, "");
    let no_ids = without(r#""id":"call_1","#).replace(r#""id":"call_2","#, "");
    let same_ids = both.replace("call_2", "call_1");
    let no_index = without(r#""index":0,"#).replace(r#""index":1,"#, "");
    let lists: &[&str] = match scenario {
        Scenario::Call => &[READ],
        Scenario::TwoCalls => &[READ, NOW],
        Scenario::NoArguments => &[r#"{"function":{"name":"now"}}"#],
        Scenario::NoCallIds => &[&no_ids],
        Scenario::SameCallIds => &[&same_ids],
        Scenario::NoIndex => &[&no_index],
        _ => return None,
    };
    Some(calling(lists))
}

fn whole(scenario: Scenario) -> Option<Spelling> {
    let all = match scenario {
        Scenario::Text => vec![text("Žl"), text("uť "), text("🦊"), end("stop")],
        Scenario::Usage => hi("stop"),
        Scenario::Reasoning => {
            let thought = |it: &str| message(&format!(r#"{{"content":"","thinking":"{it}"}}"#));
            [vec![thought("H"), thought("m")], hi("stop")].concat()
        }
        Scenario::Length => hi("length"),
        Scenario::Unknown => vec![
            r#"{"status":"news","message":null,"done":null,"remote_host":7}"#.to_owned(),
            message(r#"{"content":null,"thinking":null,"tool_calls":null,"shine":[1,{}]}"#),
            text("Hi"),
            end("stop").replace("\"done\":true", "\"done\":true,\"logprobs\":[],\"error\":null"),
        ],
        Scenario::HalfCharacter => vec![text(r"a\ud83db"), end("stop")],
        Scenario::TinyPieces => [vec![text("x"); 10_000], vec![end("stop")]].concat(),
        _ => calls(scenario)?,
    };
    Some(ok(&all))
}

fn framed(scenario: Scenario) -> Option<Spelling> {
    let hi = lines(&hi("stop"));
    Some(match scenario {
        Scenario::KeepAlive => Spelling::ok(LINES, hi.replace("{\"model", "\n \n{\"model")),
        Scenario::CrLf => Spelling::ok(LINES, hi.replace('\n', "\r\n")),
        Scenario::ContentType => Spelling::ok("text/html", hi),
        Scenario::Whole => Spelling::ok(
            JSON,
            r#"{"model":"some-model","message":{"role":"assistant","content":"Hi"},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":2}"#,
        ),
        _ => return None,
    })
}

fn broken(scenario: Scenario) -> Option<Spelling> {
    let error =
        || r#"{"error":"an error was encountered while running the model: CUDA error"}"#.to_owned();
    let hel = || lines(&[text("Hel")]);
    Some(match scenario {
        Scenario::CutBefore => Spelling::ok(LINES, lines(&[text("")])).then(Then::Cut),
        Scenario::CutAfter => Spelling::ok(LINES, hel()).then(Then::Cut),
        Scenario::EndsEarly => Spelling::ok(LINES, hel()),
        Scenario::StallBefore => Spelling::ok(LINES, "").then(Then::Stall),
        Scenario::StallAfter => Spelling::ok(LINES, hel()).then(Then::Stall),
        Scenario::BadJson => ok(&[text("Hel"), "{not json".to_owned(), text("lo"), end("stop")]),
        Scenario::LongLine => Spelling::ok(LINES, hel() + &"x".repeat(11 << 20)).then(Then::Stall),
        Scenario::ErrorBefore => ok(&[error()]),
        Scenario::ErrorAfter => ok(&[text("Hel"), error()]),
        Scenario::ErrorWithStatusOk => Spelling::ok(JSON, error()),
        Scenario::WebPage => Spelling::ok("text/html", "<!doctype html><html></html>"),
        Scenario::ProxyPage => Spelling::refused(502, "text/html", "<html>bad gateway</html>"),
        Scenario::Empty => Spelling::ok(LINES, ""),
        _ => return None,
    })
}

fn refused(scenario: Scenario) -> Option<Spelling> {
    let refused = |status, message: &str| {
        Spelling::refused(status, JSON, json!({ "error": message }).to_string())
    };
    Some(match scenario {
        Scenario::WrongKey => refused(401, &format!("unauthorized: {KEY}")),
        // Chats and pulls alike.
        Scenario::WrongModel => refused(404, "model 'some-model' not found"),
        Scenario::WrongPath => Spelling::refused(404, "text/plain", "404 page not found"),
        Scenario::TooLong => refused(400, "the input length exceeds the context length"),
        Scenario::RateLimited => {
            refused(429, "too many concurrent requests").with_header("retry-after", "7")
        }
        Scenario::Overloaded => {
            refused(503, "server busy, please try again.  maximum pending requests exceeded")
        }
        Scenario::Broken => refused(500, "llama runner process has terminated: exit status 2"),
        _ => return None,
    })
}

impl Wire for Ollama {
    fn gateway(&self, address: &str) -> Arc<dyn LlmGateway> {
        let [first_byte, idle] = [500, 400].map(Duration::from_millis);
        let config = OllamaConfig {
            api_key: Some(KEY.to_owned().into()),
            timeouts: Timeouts { first_byte, idle, ..Timeouts::default() },
            ..OllamaConfig::new(address, MODEL)
        };
        Arc::new(OllamaGateway::new(config).unwrap())
    }

    fn spell(&self, scenario: Scenario) -> Option<Spelling> {
        let spelling = whole(scenario).or_else(|| framed(scenario));
        spelling.or_else(|| broken(scenario)).or_else(|| refused(scenario))
    }

    fn skips(&self) -> &'static [(Scenario, &'static str)] {
        &[
            (Scenario::Filter, "it has no filter"),
            (Scenario::Quota, "it has no accounts, and what ollama.com says is not known"),
        ]
    }

    fn aside(&self, request: &str) -> Option<Value> {
        match request {
            "GET /api/version" => Some(json!({"version": "0.33.0"})),
            "POST /api/show" => Some(shown(8_192)),
            _ => None,
        }
    }

    fn secret(&self) -> Option<&str> {
        Some(KEY)
    }
}

mod suite {
    brain_testkit::llm_wire_suite!(super::Ollama);
}
