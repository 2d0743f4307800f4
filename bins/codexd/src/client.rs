//! HTTP to a daemon: requests, problems as sentences, and answers as they come.
//!
//! Blocking; not for the threads of a runtime.

use std::{
    io::{self, BufReader, Read},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use ureq::{Agent, Body, http::Response};
use url::Url;

use crate::{interrupt::Interrupt, sse};

/// How often a stream that broke is taken up again, for six seconds in all.
const RESUMES: u32 = 6;

/// A daemon to speak to; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: Url,
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// What happens before the answer, and how far it is.
    Progress { stage: &'a str, done: u64, total: u64 },
    /// More text.
    Text(&'a str),
}

/// How an answer ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The last event, as the API has it.
    pub(crate) data: Value,
    /// Whether Ctrl-C ended it.
    pub(crate) interrupted: bool,
}

impl Client {
    /// A client of the daemon at `base`.
    pub(crate) fn new(base: Url) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            // A daemon on this machine is not behind the proxy that the environment names.
            .proxy(None)
            .build();
        Self { agent: config.into(), base }
    }

    /// The JSON of a GET.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let body = self.read(path, query)?;
        serde_json::from_reader(body.into_reader()).context("the daemon answered with no JSON")
    }

    /// Whether a codexd answers, and soon.
    pub(crate) fn finds_daemon(&self) -> bool {
        let request = self.agent.get(self.base.as_str()).config();
        let answer = request.timeout_global(Some(Duration::from_secs(1))).build().call();
        let page: Option<Value> = answer.ok().and_then(|it| it.into_body().read_json().ok());
        page.is_some_and(|page| text(&page, "name") == "codexd")
    }

    /// Sends a DELETE.
    pub(crate) fn delete(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<()> {
        self.ok(self.agent.delete(self.url(path, query)?.as_str()).call()).map(drop)
    }

    fn read(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Body> {
        self.ok(self.agent.get(self.url(path, query)?.as_str()).call())
    }

    fn post(&self, path: &str, json: &str) -> anyhow::Result<Body> {
        let request = self.agent.post(self.url(path, &[])?.as_str());
        self.ok(request.content_type("application/json").send(json))
    }

    /// Stops a turn. If that fails, its stream says why.
    pub(crate) fn cancel(&self, turn: &str) {
        drop(self.post(&format!("chat/turns/{turn}/cancel"), ""));
    }

    /// Asks, and shows the answer piece by piece; takes the stream up again where it breaks.
    pub(crate) fn chat(
        &self,
        request: &Value,
        interrupt: &Interrupt,
        show: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> anyhow::Result<Ending> {
        interrupt.asked();
        let (session, shown) = (String::new(), String::new());
        let mut talk = Talk { client: self, interrupt, show, turn: None, session, last: 0, shown };
        let ended = talk.run(&request.to_string());
        let interrupted = interrupt.ended();
        Ok(Ending { data: ended?, interrupted })
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Url> {
        let base = self.base.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}/{path}"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// The body of a success; everything else as a sentence.
    fn ok(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Body> {
        let response = answer.map_err(|error| {
            anyhow!("no daemon answers at {} ({error}); `codexd serve` starts one", self.base)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let problem: Value = response.into_body().read_json().unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str);
        match text("detail").or_else(|| text("title")) {
            Some(sentence) => bail!("{sentence} ({})", text("code").unwrap_or(status.as_str())),
            None => bail!("the daemon at {} answered {status}", self.base),
        }
    }
}

/// One answer on its way.
struct Talk<'a> {
    client: &'a Client,
    interrupt: &'a Interrupt,
    show: &'a mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    turn: Option<String>,
    session: String,
    /// The number of the last event.
    last: u64,
    /// The text of the model call under way, as far as it is shown.
    shown: String,
}

impl Talk<'_> {
    fn run(&mut self, request: &str) -> anyhow::Result<Value> {
        let mut body = self.client.post("chat", request);
        for attempt in 0..RESUMES {
            match body {
                Ok(body) => {
                    if let Some(end) = self.follow(body.into_reader())? {
                        return Ok(end);
                    }
                }
                Err(error) if self.turn.is_none() => return Err(error),
                Err(_) => {}
            }
            let turn = self.turn.as_ref().context("the daemon hung up; see its log")?;
            thread::sleep(Duration::from_millis(100 << attempt));
            let (path, after) = (format!("chat/turns/{turn}/events"), self.last.to_string());
            body = self.client.read(&path, &[("after", &after)]);
        }
        let id = &self.session;
        bail!("the connection broke; `codexd sessions show {id}` shows what became of the answer")
    }

    /// Reads to the last event, and returns it; `None` if the stream ends before.
    fn follow(&mut self, body: impl Read) -> anyhow::Result<Option<Value>> {
        let mut body = BufReader::new(body);
        while let Ok(Some(event)) = sse::next_event(&mut body) {
            self.last = self.last.max(event.id);
            match event.name.as_str() {
                "turn.completed" | "turn.interrupted" | "turn.failed" => {
                    return Ok(Some(event.data));
                }
                "error" => bail!("{}", text(&event.data, "detail")),
                _ => self.handle(&event)?,
            }
        }
        Ok(None)
    }

    fn handle(&mut self, event: &sse::Event) -> io::Result<()> {
        let text = |name: &str| text(&event.data, name);
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64).unwrap_or(0);
        match event.name.as_str() {
            "turn.started" => {
                let turn = text("turn_id");
                self.interrupt.runs(turn, self.client);
                self.turn = Some(turn.to_owned());
                text("session_id").clone_into(&mut self.session);
                Ok(())
            }
            "model.progress" => {
                let (done, total) = (number("done"), number("total"));
                (self.show)(Piece::Progress { stage: text("stage"), done, total })
            }
            "text.delta" => self.more(text("text")),
            "turn.snapshot" => {
                // All there is: what is shown of it already is not shown again.
                let rest = text("text").strip_prefix(self.shown.as_str()).map(str::to_owned);
                self.more(&rest.unwrap_or_default())
            }
            "tool.result" => {
                self.shown.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn more(&mut self, text: &str) -> io::Result<()> {
        self.shown.push_str(text);
        if text.is_empty() { Ok(()) } else { (self.show)(Piece::Text(text)) }
    }
}

/// An array of an object; empty if it is not there.
pub(crate) fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text of an object; empty if it is not there.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
