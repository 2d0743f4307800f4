//! A server that gives one connection after another the answer that it was told.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

use url::Url;

/// What one connection gets.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// This, once head and body are read, and the end.
    Whole(String),
    /// This as soon as the head is read; then the connection is reset, whatever is still sent.
    Early(String),
    /// Nothing: the connection is reset once the head is read.
    Reset,
}

/// Serves as many connections as there are replies; the thread gives what each asked for.
pub(crate) fn serve(replies: Vec<Reply>) -> (Url, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serve = move || {
        let one = |reply| serve_one(&listener.accept().unwrap().0, reply);
        replies.into_iter().map(one).collect()
    };
    (url, thread::spawn(serve))
}

fn serve_one(mut stream: &TcpStream, reply: Reply) -> String {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let (mut length, mut expects) = (0, false);
    for line in lines.take_while(|it| !it.is_empty()).map(|it| it.to_ascii_lowercase()) {
        expects |= line == "expect: 100-continue";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    match reply {
        Reply::Whole(text) => {
            if expects {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            }
            // Whoever promises more than he sends hangs up before.
            drop(reader.read_exact(&mut vec![0; length]));
            drop(stream.write_all(text.as_bytes()));
        }
        Reply::Early(text) => {
            stream.write_all(text.as_bytes()).unwrap();
            // What was sent and not read resets the connection.
            stream.shutdown(Shutdown::Write).unwrap();
        }
        Reply::Reset => {}
    }
    first
}

/// A whole answer.
pub(crate) fn json(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The beginning of a stream: each event by number, name and data; the end is a broken chunk.
pub(crate) fn events(events: &[(u64, &str, &str)]) -> String {
    let mut text =
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for (id, name, data) in events {
        let event = format!("id: {id}\nevent: {name}\ndata: {data}\n\n");
        text.push_str(&format!("{:x}\r\n{event}\r\n", event.len()));
    }
    text
}
