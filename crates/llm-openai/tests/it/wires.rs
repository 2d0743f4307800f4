//! Every scenario of the wire suite, as OpenAI, Azure OpenAI and TabbyML spell it.
//!
//! The three share their pieces; what differs is said once, in [`Dialect`].

use std::{sync::Arc, time::Duration};

use brain_core::llm::LlmGateway;
use brain_testkit::wire_suite::{MODEL, Scenario, Spelling, Then, Wire};
use llm_openai::{OpenAiConfig, OpenAiGateway, Timeouts};

use crate::KEY;

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

/// Which of the three.
#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    OpenAi,
    Azure,
    TabbyMl,
}

impl Dialect {
    /// What comes before any content.
    fn opening(self) -> &'static [&'static str] {
        match self {
            Self::OpenAi => &[
                r#"{"id":"c1","object":"chat.completion.chunk","model":"served","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}"#,
            ],
            Self::Azure => &[
                r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#,
                r#"{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1,"id":"c1","model":"served","object":"chat.completion.chunk"}"#,
            ],
            Self::TabbyMl => &[
                r#"{"id":"c1","choices":[{"index":0,"delta":{"content":null,"function_call":null,"tool_calls":null,"role":"assistant","refusal":null},"finish_reason":null,"logprobs":null}],"created":1,"model":"served","object":"chat.completion.chunk","usage":null}"#,
            ],
        }
    }

    /// The body of a stream: what opens it, these data, and the mark where the wire has one.
    fn stream(self, data: &[String]) -> String {
        let mark = (self != Self::TabbyMl).then_some("[DONE]");
        self.unmarked(data) + &mark.map(event).unwrap_or_default()
    }

    /// The same without the mark.
    fn unmarked(self, data: &[String]) -> String {
        let opening = self.opening().iter().map(|it| event(it));
        opening.chain(data.iter().map(|it| event(it))).collect()
    }

    fn ok(self, data: &[String]) -> Spelling {
        Spelling::ok(SSE, self.stream(data))
    }

    /// A refusal in the words of the wire's servers.
    fn refused(self, status: u16, openai: &str, azure: &str) -> Spelling {
        match self {
            Self::OpenAi => Spelling::refused(status, JSON, openai),
            Self::Azure => Spelling::refused(status, JSON, azure),
            Self::TabbyMl => Spelling::refused(status, "text/plain", ""),
        }
    }
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn delta(delta: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","model":"served","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#
    )
}

fn text(text: &str) -> String {
    delta(&format!(r#"{{"content":"{text}"}}"#))
}

fn end(reason: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","model":"served","choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#
    )
}

fn cost() -> String {
    r#"{"id":"c1","object":"chat.completion.chunk","model":"served","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#.to_owned()
}

fn error() -> String {
    r#"{"error":{"message":"oops","type":"server_error","param":null,"code":null}}"#.to_owned()
}

/// The text in one piece, and this end.
fn hi(reason: &str) -> Vec<String> {
    vec![text("Hi"), end(reason)]
}

/// Tool calls from these `tool_calls` lists, and their end.
fn calling(lists: &[&str]) -> Vec<String> {
    let deltas = lists.iter().map(|list| delta(&format!(r#"{{"tool_calls":{list}}}"#)));
    deltas.chain([end("tool_calls")]).collect()
}

const READ: &str =
    r#"[{"index":0,"id":"p1","type":"function","function":{"name":"read_file","arguments":""}}]"#;
const PATH: &str = r#"[{"index":0,"function":{"arguments":"{\"path\""}}]"#;
const A: &str = r#"[{"index":0,"function":{"arguments":":\"a\"}"}}]"#;

fn calls(scenario: Scenario) -> Option<Vec<String>> {
    let lists: &[&str] = match scenario {
        Scenario::Call => &[READ, PATH, A],
        Scenario::TwoCalls => &[
            READ,
            PATH,
            A,
            r#"[{"index":1,"id":"p2","type":"function","function":{"name":"now","arguments":"{}"}}]"#,
        ],
        Scenario::NoArguments => &[
            r#"[{"index":0,"id":"p1","type":"function","function":{"name":"now","arguments":""}}]"#,
        ],
        Scenario::NoCallIds => &[
            r#"[{"index":0,"function":{"name":"read_file","arguments":"{\"path\":\"a\"}"}}]"#,
            r#"[{"index":1,"id":"","function":{"name":"now","arguments":"{}"}}]"#,
        ],
        Scenario::SameCallIds => &[
            READ,
            PATH,
            A,
            r#"[{"index":1,"id":"p1","type":"function","function":{"name":"now","arguments":"{}"}}]"#,
        ],
        Scenario::NoIndex => &[
            r#"[{"id":"p1","function":{"name":"read_file","arguments":"{\"path\""}}]"#,
            r#"[{"function":{"arguments":":\"a\"}"}}]"#,
            r#"[{"id":"p2","function":{"name":"now","arguments":"{}"}}]"#,
        ],
        _ => return None,
    };
    Some(calling(lists))
}

fn whole(at: Dialect, scenario: Scenario) -> Option<Spelling> {
    let data = match scenario {
        Scenario::Text => vec![text("Žl"), text("uť "), text("🦊"), end("stop")],
        Scenario::Usage => vec![text("Hi"), end("stop"), cost()],
        Scenario::Reasoning => {
            vec![delta(r#"{"reasoning_content":"H"}"#), delta(r#"{"reasoning":"m"}"#)]
                .into_iter()
                .chain(hi("stop"))
                .collect()
        }
        Scenario::Length => hi("length"),
        Scenario::Filter => hi("content_filter"),
        Scenario::Unknown => vec![
            r#"{"kind":"news","choices":null,"usage":null,"delta":7}"#.to_owned(),
            delta(r#"{"content":null,"tool_calls":null,"shine":[1,{}]}"#),
            "null".to_owned(),
            text("Hi"),
            end("stop"),
        ],
        Scenario::HalfCharacter => vec![text(r"a\ud83db"), end("stop")],
        Scenario::TinyPieces => vec![text("x"); 10_000].into_iter().chain([end("stop")]).collect(),
        _ => return calls(scenario).map(|data| at.ok(&data)),
    };
    Some(at.ok(&data))
}

fn framed(at: Dialect, scenario: Scenario) -> Option<Spelling> {
    let hi = at.stream(&hi("stop"));
    Some(match scenario {
        Scenario::KeepAlive => Spelling::ok(SSE, hi.replace("data: {", ": ping\n\ndata:{")),
        Scenario::CrLf => Spelling::ok(SSE, hi.replace('\n', "\r\n")),
        Scenario::ContentType => Spelling::ok("text/html", hi),
        Scenario::Whole => Spelling::ok(
            JSON,
            r#"{"object":"chat.completion","model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
        ),
        _ => return None,
    })
}

fn broken(at: Dialect, scenario: Scenario) -> Option<Spelling> {
    let hel = || at.unmarked(&[text("Hel")]);
    let opening = || Spelling::ok(SSE, at.unmarked(&[]));
    Some(match scenario {
        Scenario::CutBefore => opening().then(Then::Cut),
        Scenario::CutAfter => Spelling::ok(SSE, hel()).then(Then::Cut),
        Scenario::EndsEarly => Spelling::ok(SSE, hel()),
        Scenario::StallBefore => Spelling::ok(SSE, "").then(Then::Stall),
        Scenario::StallAfter => Spelling::ok(SSE, hel()).then(Then::Stall),
        Scenario::BadJson => at.ok(&[text("Hel"), "{not json".to_owned(), text("lo"), end("stop")]),
        Scenario::LongLine => {
            Spelling::ok(SSE, hel() + "data: " + &"x".repeat(11 << 20)).then(Then::Stall)
        }
        Scenario::ErrorBefore => Spelling::ok(SSE, event(&error()) + &event("[DONE]")),
        Scenario::ErrorAfter => at.ok(&[text("Hel"), error()]),
        Scenario::ErrorWithStatusOk => {
            Spelling::ok(JSON, r#"{"error":"Unexpected endpoint or method. (POST /x)"}"#)
        }
        Scenario::WebPage => Spelling::ok("text/html", "<!doctype html><html></html>"),
        Scenario::ProxyPage => Spelling::refused(502, "text/html", "<html>bad gateway</html>"),
        Scenario::Empty => Spelling::ok(SSE, ""),
        _ => return None,
    })
}

fn refused(at: Dialect, scenario: Scenario) -> Option<Spelling> {
    Some(match scenario {
        Scenario::WrongKey => at.refused(
            401,
            &format!(
                r#"{{"error":{{"message":"Incorrect API key provided: {KEY}.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}}}"#
            ),
            &format!(
                r#"{{"error":{{"code":"401","message":"Access denied due to invalid subscription key {KEY} or wrong API endpoint."}}}}"#
            ),
        ),
        Scenario::WrongModel if at != Dialect::TabbyMl => at.refused(
            404,
            r#"{"error":{"message":"The model `x` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
        ),
        Scenario::WrongPath => at.refused(
            404,
            r#"{"error":{"message":"Invalid URL (POST /v2/x)","type":"invalid_request_error","param":null,"code":null}}"#,
            r#"{"error":{"code":"404","message":"Resource not found"}}"#,
        ),
        Scenario::TooLong if at != Dialect::TabbyMl => {
            let body = r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
            at.refused(400, body, body)
        }
        Scenario::RateLimited => at
            .refused(
                429,
                r#"{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
                r#"{"error":{"code":"429","message":"Requests have exceeded call rate limit. Please retry after 7 seconds."}}"#,
            )
            .with_header("retry-after", "7"),
        Scenario::Quota if at != Dialect::TabbyMl => {
            let body = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
            at.refused(429, body, body)
        }
        Scenario::Overloaded if at != Dialect::TabbyMl => {
            let body = r#"{"error":{"message":"The engine is currently overloaded","type":"service_unavailable_error","param":null,"code":"server_is_overloaded"}}"#;
            at.refused(503, body, body)
        }
        Scenario::Broken => at.refused(
            500,
            r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#,
            r#"{"error":{"code":"InternalServerError","message":"Backend returned unexpected response."}}"#,
        ),
        _ => return None,
    })
}

impl Wire for Dialect {
    fn gateway(&self, address: &str) -> Arc<dyn LlmGateway> {
        let [first_byte, idle] = [500, 400].map(Duration::from_millis);
        let config = match self {
            Self::OpenAi => OpenAiConfig::new(format!("{address}/v1"), MODEL),
            Self::Azure => OpenAiConfig::azure(address, MODEL, Some("2024-10-21".to_owned())),
            Self::TabbyMl => OpenAiConfig::tabbyml(address, ""),
        };
        let config = OpenAiConfig {
            api_key: Some(KEY.to_owned().into()),
            timeouts: Timeouts { first_byte, idle, ..Timeouts::default() },
            ..config
        };
        Arc::new(OpenAiGateway::new(config).unwrap())
    }

    fn spell(&self, scenario: Scenario) -> Option<Spelling> {
        let (at, skipped) = (*self, self.skips().iter().any(|(it, _)| *it == scenario));
        let spelling = whole(at, scenario)
            .or_else(|| framed(at, scenario))
            .or_else(|| broken(at, scenario))
            .or_else(|| refused(at, scenario));
        spelling.filter(|_| !skipped)
    }

    fn skips(&self) -> &'static [(Scenario, &'static str)] {
        match self {
            Self::OpenAi | Self::Azure => &[],
            Self::TabbyMl => &[
                (Scenario::WrongModel, "it answers with its own model"),
                (Scenario::TooLong, "it answers 500 with an empty body"),
                (Scenario::Quota, "it has no accounts"),
                (Scenario::Overloaded, "it answers 500 with an empty body"),
            ],
        }
    }

    fn secret(&self) -> Option<&str> {
        Some(KEY)
    }
}

mod openai {
    brain_testkit::llm_wire_suite!(super::Dialect::OpenAi);
}

mod azure {
    brain_testkit::llm_wire_suite!(super::Dialect::Azure);
}

mod tabbyml {
    brain_testkit::llm_wire_suite!(super::Dialect::TabbyMl);
}
