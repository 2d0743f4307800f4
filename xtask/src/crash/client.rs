//! Speaking to the daemon, which may be gone.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use serde_json::{Value, json};
use ureq::{Agent, Body, http::Response};

use super::{
    Fault,
    daemon::Address,
    message::{Moments, Name},
};

/// Longer than a turn waits for another one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to the daemon, wherever it is now.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    address: Address,
}

/// What the daemon has said about a message.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// When it acknowledged the message.
    pub(super) stored: Option<u64>,
    /// Where the whole answer is.
    pub(super) answer: Option<u64>,
    /// Whether the turn came to its end before our eyes.
    pub(super) is_over: bool,
    /// That it does not want the message, and never will.
    pub(super) refusal: Option<String>,
}

impl Client {
    pub(super) fn new(address: Address) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build();
        Self { agent: config.into(), address }
    }

    /// Sends a message, and listens to the answer as events or as a whole.
    pub(super) fn say(&self, name: Name, stream: bool, moments: &Moments) -> Told {
        let body = json!({"session_id": name.session(), "message": name.text(), "stream": stream});
        let url = format!("{}/chat", self.address.get());
        let request = self.agent.post(url).header("idempotency-key", name.key());
        match request.send_json(body) {
            Ok(response) if stream && response.status() == 200 => listen(response, moments),
            Ok(response) => read_whole(response, moments),
            Err(_) => Told::default(),
        }
    }

    /// The JSON of a path; `None` if the daemon has nothing there.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<Value>, Fault> {
        let request = self.agent.get(format!("{}{path}", self.address.get()));
        let mut response = request.query_pairs(query.iter().copied()).call()?;
        let status = response.status();
        if status == 404 {
            return Ok(None);
        }
        let value: Value = response.body_mut().with_config().limit(u64::MAX).read_json()?;
        if status != 200 {
            return Err(format!("GET {path}: {status} {value}").into());
        }
        Ok(Some(value))
    }
}

fn read_whole(mut response: Response<Body>, moments: &Moments) -> Told {
    let status = response.status().as_u16();
    let Ok(value) = response.body_mut().read_json::<Value>() else {
        return Told::default();
    };
    // A turn that failed has stored its message all the same: the problem names the turn.
    let is_turn = status == 200 || (value.get("turn_id").is_some() && status != 409);
    let is_refused = !is_turn && (400..500).contains(&status) && status != 409 && status != 429;
    Told {
        stored: is_turn.then(|| moments.now()),
        answer: whole_answer(&value),
        is_over: is_turn,
        refusal: is_refused.then(|| format!("{status} {value}")),
    }
}

fn listen(response: Response<Body>, moments: &Moments) -> Told {
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    let (mut told, mut event) = (Told::default(), String::new());
    for line in lines.map_while(Result::ok) {
        if let Some(name) = line.strip_prefix("event:") {
            name.trim().clone_into(&mut event);
        }
        let Some(data) = line.strip_prefix("data:").filter(|_| event.starts_with("turn.")) else {
            continue;
        };
        told.stored = told.stored.or_else(|| Some(moments.now()));
        told.is_over |= !matches!(event.as_str(), "turn.started" | "turn.snapshot");
        told.answer = serde_json::from_str(data).ok().as_ref().and_then(whole_answer);
    }
    told
}

/// The position of the answer, if the turn completed.
fn whole_answer(data: &Value) -> Option<u64> {
    let is_whole = data.get("status").and_then(Value::as_str) == Some("completed");
    data.pointer("/message/seq").and_then(Value::as_u64).filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        thread,
    };

    use serde_json::json;

    use super::{super::daemon::Address, Client};

    #[test]
    fn only_the_status_tells_that_there_is_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::default();
        address.set(format!("http://{}", listener.local_addr().unwrap()));
        let server = thread::spawn(move || {
            for status in ["404 Not Found", "500 Broken", "200 OK"] {
                let mut stream = listener.accept().unwrap().0;
                let lines = BufReader::new(&stream).lines().map(Result::unwrap);
                assert_ne!(lines.take_while(|it| !it.is_empty()).count(), 0);
                let head = "connection: close\r\ncontent-length: 5";
                write!(stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n[404]").unwrap();
            }
        });
        let client = Client::new(address);
        assert_eq!(client.get("/", &[]).unwrap(), None);
        assert!(client.get("/", &[]).unwrap_err().to_string().contains("404"));
        assert_eq!(client.get("/", &[]).unwrap(), Some(json!([404])));
        server.join().unwrap();
    }
}
