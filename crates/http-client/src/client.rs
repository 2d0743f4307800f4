//! Requests to a daemon: problems become sentences, bodies of any length pass through.

use std::{fmt, io::Read, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{Agent, SendBody, http::Response};
use url::Url;

use crate::{
    address::shown_url,
    answer::{Piece, Talk},
    body::{Body, Source},
    error::{BoxError, ClientError, ClientErrorKind, has_connected, is_nobody, source_of},
    json::text_of,
};

/// A daemon to speak to; cheap to clone.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base: Url,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.shown()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the daemon at `base`.
    #[must_use]
    pub fn new(base: Url) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            // A daemon on this machine is not behind the proxy that the environment names.
            .proxy(None)
            .build();
        Self { agent: config.into(), base }
    }

    /// The JSON of a GET, as far as `T` wants to know it: a [`Value`] knows all of it but cannot
    /// hold every number.
    ///
    /// # Errors
    ///
    /// When nobody answers, the daemon refuses, or its answer is no JSON for `T`.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        parse(self.read(path, query, "application/json")?)
    }

    /// The body of a GET as it comes, in the media type `accept`.
    ///
    /// # Errors
    ///
    /// When nobody answers, the daemon refuses, or says that it sends something else.
    pub fn read(
        &self,
        path: &str,
        query: &[(&str, &str)],
        accept: &str,
    ) -> Result<impl Read + use<>, ClientError> {
        let request = self.agent.get(self.url(path, query)?.as_str());
        let answer = request.header("accept", accept).call();
        let other = answer.as_ref().ok().filter(|it| it.status().is_success()).and_then(|it| {
            let sent = it.body().mime_type().filter(|sent| *sent != accept)?;
            Some(format!("what answers at {} sends {sent}: it is no codexd", self.shown()))
        });
        match other {
            Some(sentence) => Err(ClientError::new(ClientErrorKind::Unexpected, sentence)),
            None => self.ok(answer),
        }
    }

    /// Sends a DELETE, and returns the JSON of its answer.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        parse(self.ok(self.agent.delete(self.url(path, query)?.as_str()).call())?)
    }

    /// Sends a body of any length with a POST once the daemon wants it, and returns the JSON of its
    /// answer.
    ///
    /// # Errors
    ///
    /// As [`Self::get`], and when the body cannot be read or is shorter than it says.
    pub fn send(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Body<impl Read>,
    ) -> Result<Value, ClientError> {
        let request = self.agent.post(self.url(path, query)?.as_str());
        let request = request.content_type(body.media_type).header("content-length", body.length);
        let mut source = Source::new(body.reader, body.length);
        // Whoever is refused while he sends would lose the answer with the connection.
        let request = request.header("expect", "100-continue");
        let sent = request.send(SendBody::from_reader(&mut source));
        match source.into_error() {
            Some(error) if sent.is_err() => {
                let sentence = "what is to be sent cannot be read";
                Err(ClientError::new(ClientErrorKind::Unreadable, sentence).with_source(error))
            }
            Some(_) | None => parse(self.ok(sent)?),
        }
    }

    /// Whether a codexd answers. Nobody who listens there and another program that answers in
    /// full are `false`.
    ///
    /// # Errors
    ///
    /// [`ClientErrorKind::Unreachable`] when somebody listens there and `patience` is over before
    /// the answer, or it breaks off: it may be a codexd.
    pub fn finds_daemon(&self, patience: Duration) -> Result<bool, ClientError> {
        let request = self.agent.get(self.base.as_str()).config();
        let answer = request.timeout_global(Some(patience)).build().call();
        let page = answer.and_then(|it| {
            let is_busy = it.status().is_server_error();
            let text = it.into_body().read_to_string()?;
            Ok((text, is_busy))
        });
        let error: BoxError = match page {
            Ok((_, true)) => "it answered with an error".into(),
            Ok((text, false)) => {
                let page: Value = serde_json::from_str(&text).unwrap_or_default();
                return Ok(text_of(&page, "name") == "codexd");
            }
            Err(error) if is_nobody(&error) => return Ok(false),
            Err(error) => source_of(error),
        };
        let sentence = format!(
            "something listens at {} and does not answer as a daemon should; wait if it is busy, \
             end it if it hangs, or name another daemon with --url",
            self.shown()
        );
        Err(ClientError::new(ClientErrorKind::Unreachable, sentence).with_source(error))
    }

    /// Stops a turn. If that fails, its stream says why.
    pub fn cancel(&self, turn: &str) {
        drop(self.post(&format!("chat/turns/{turn}/cancel"), ""));
    }

    /// Asks for a streamed answer, and shows it piece by piece; takes the stream up again where it
    /// breaks. Returns the last event, as the API has it.
    ///
    /// # Errors
    ///
    /// When nobody answers, the daemon refuses, the stream stays broken, or `show` fails.
    pub fn chat(
        &self,
        request: &Value,
        show: &mut dyn FnMut(Piece<'_>) -> std::io::Result<()>,
    ) -> Result<Value, ClientError> {
        Talk::new(self, show).run(&request.to_string())
    }

    /// Sends a JSON value with a PATCH, and returns the JSON of the answer.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn patch(&self, path: &str, json: &Value) -> Result<Value, ClientError> {
        let request = self.agent.patch(self.url(path, &[])?.as_str());
        let sent = request.content_type("application/json").send(json.to_string());
        parse(self.ok(sent)?)
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> Result<impl Read + use<>, ClientError> {
        let request = self.agent.post(self.url(path, &[])?.as_str());
        self.ok(request.content_type("application/json").send(json))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, ClientError> {
        let base = self.base.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}/{path}")).map_err(|error| {
            let sentence = format!("{} is no address of a daemon", self.shown());
            ClientError::new(ClientErrorKind::Unreachable, sentence).with_source(error)
        })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// The body of a success; everything else as a sentence.
    fn ok(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<impl Read + use<>, ClientError> {
        let response = answer.map_err(|error| self.failed(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body().into_reader());
        }
        let problem: Value = response.into_body().read_json().unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str);
        let sentence = match text("detail").or_else(|| text("title")) {
            Some(sentence) => sentence.to_owned(),
            None => format!("the daemon at {} answered {status}", self.shown()),
        };
        let kind = ClientErrorKind::Refused(status.as_u16());
        Err(ClientError::new(kind, sentence).with_code(text("code")))
    }

    fn failed(&self, error: ureq::Error) -> ClientError {
        let base = self.shown();
        let (kind, sentence) = if has_connected(&error) {
            (ClientErrorKind::Broken, format!("the connection to the daemon at {base} failed"))
        } else {
            let sentence = format!("no daemon answers at {base}; `codexd serve` starts one");
            (ClientErrorKind::Unreachable, sentence)
        };
        ClientError::new(kind, sentence).with_source(source_of(error))
    }

    fn shown(&self) -> String {
        shown_url(self.base.clone())
    }
}

fn parse<T: DeserializeOwned>(body: impl Read) -> Result<T, ClientError> {
    serde_json::from_reader(body).map_err(|error| {
        let (kind, sentence) = if error.is_io() {
            (ClientErrorKind::Broken, "the answer of the daemon broke off; try again")
        } else {
            (ClientErrorKind::Unexpected, "the daemon answered with something else than expected")
        };
        ClientError::new(kind, sentence).with_source(error)
    })
}
