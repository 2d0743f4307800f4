//! A model server that speaks just enough of OpenAI's API to answer `Noted.` to everything, at once.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// A server on a free port; it ends with the process.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) url: String,
}

const EVENTS: &str = concat!(
    "data: {\"id\":\"1\",\"model\":\"fake\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Not\"}}]}\n\n",
    "data: {\"id\":\"1\",\"model\":\"fake\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ed.\"}}]}\n\n",
    "data: {\"id\":\"1\",\"model\":\"fake\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
);

const MODELS: &str = r#"{"object":"list","data":[{"id":"fake","object":"model"}]}"#;

impl Model {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The daemon dies in the middle of answers: that is what all this is for.
                thread::spawn(move || drop(serve(&stream)));
            }
        });
        Ok(Self { url })
    }
}

fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(path) = read_request(&mut reader)? {
        let (kind, body) = match path.ends_with("/models") {
            true => ("application/json", MODELS),
            false => ("text/event-stream", EVENTS),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}");
        let mut stream = stream;
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    }
    Ok(())
}

/// Reads one request and gives its path; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(first.split(' ').nth(1).map(str::to_owned))
}
