//! Requests that fail: by whose fault, and in which words.

use std::{
    error::Error,
    io::{self, Cursor, Read},
    net::TcpListener,
    time::Duration,
};

use http_client::{Body, Client, ClientError, ClientErrorKind, shown};
use serde_json::Value;
use url::Url;

use crate::server::{Reply, json, serve};

/// More than a socket takes in before anybody reads.
const MUCH: u64 = 64 << 20;

fn send(url: Url, length: u64, reader: impl Read) -> ClientError {
    let body = Body { media_type: "application/json", length, reader };
    Client::new(url).send("import", &[], body).unwrap_err()
}

/// An error with its causes.
fn told(error: &ClientError) -> String {
    let (mut told, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

/// An address where nobody listens.
fn nowhere() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

#[test]
fn a_body_that_is_refused_early_is_not_sent_and_the_answer_is_told() {
    let problem = r#"{"detail": "send less", "code": "body_too_large"}"#;
    let (url, _server) = serve(vec![Reply::Early(json("413 Content Too Large", problem))]);
    let error = send(url, MUCH, io::repeat(b' '));
    assert_eq!(error.kind(), ClientErrorKind::Refused(413), "{}", told(&error));
    assert_eq!(told(&error), "send less");
    assert_eq!(error.code(), Some("body_too_large"));
}

#[test]
fn a_daemon_is_there_not_there_or_perhaps_there() {
    let finds = |url| Client::new(url).finds_daemon(Duration::from_millis(300));
    assert!(!finds(nowhere()).unwrap());
    let page = |status, text| vec![Reply::Whole(json(status, text))];
    let (url, _server) = serve(page("200 OK", r#"{"name": "codexd"}"#));
    assert!(finds(url).unwrap());
    let (url, _server) = serve(page("404 Not Found", r#"{"name": "another"}"#));
    assert!(!finds(url).unwrap());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url: Url = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
    let (busy, _busy) = serve(page("503 Service Unavailable", "{}"));
    let (resets, _resets) = serve(vec![Reply::Reset]);
    for url in [silent_url, busy, resets] {
        let error = finds(url).unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Unreachable, "{}", told(&error));
        assert!(told(&error).starts_with("something listens at http://127"), "{}", told(&error));
    }
}

#[test]
fn only_where_nobody_answers_a_daemon_is_said_to_be_missing() {
    let error = send(nowhere(), 2, Cursor::new("{}"));
    assert_eq!(error.kind(), ClientErrorKind::Unreachable);
    assert!(told(&error).contains("`codexd serve` starts one"), "{}", told(&error));
    let (url, _server) = serve(vec![Reply::Reset]);
    let error = Client::new(url).get::<Value>("models", &[]).unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Broken, "{}", told(&error));
    assert!(!told(&error).contains("codexd serve"), "{}", told(&error));
}

#[test]
fn what_cannot_be_read_here_is_no_fault_of_the_daemon() {
    struct Damaged;
    impl Read for Damaged {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("a bad sector"))
        }
    }
    let (url, _server) = serve(vec![Reply::Whole(json("200 OK", "{}")); 2]);
    let error = send(url.clone(), 9, Damaged);
    assert_eq!(error.kind(), ClientErrorKind::Unreadable);
    assert_eq!(told(&error), "what is to be sent cannot be read: a bad sector");
    let error = send(url, 9, Cursor::new("short"));
    assert_eq!(error.kind(), ClientErrorKind::Unreadable);
    assert!(told(&error).ends_with("it has become shorter"), "{}", told(&error));
}

#[test]
fn a_body_that_grows_is_sent_as_long_as_it_was() {
    let (url, server) = serve(vec![Reply::Whole(json("200 OK", "[1]"))]);
    let body =
        Body { media_type: "application/json", length: 2, reader: Cursor::new("{} and more") };
    assert_eq!(Client::new(url).send("import", &[], body).unwrap(), serde_json::json!([1]));
    assert_eq!(server.join().unwrap(), ["POST /import HTTP/1.1"]);
}

#[test]
fn no_error_tells_what_is_secret_in_an_address() {
    let mut url = nowhere();
    url.set_username("me").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    url.set_query(Some("key=hunter3"));
    let client = Client::new(url.clone());
    let error = client.get::<Value>("models", &[]).unwrap_err();
    assert!(told(&error).contains("127.0.0.1"), "{}", told(&error));
    let folder = tempfile::tempdir().unwrap();
    let expected = http_client::Expected { sha256: None, begins: b"", kind: "file" };
    let target = folder.path().join("file");
    let fetched = http_client::obtain(url.as_str(), &target, expected, &mut |_| ()).unwrap_err();
    let refused =
        Client::new("ftp://me:hunter2@host".parse().unwrap()).get::<Value>("", &[]).unwrap_err();
    let texts = [told(&error), format!("{error:?}"), format!("{client:?}"), told(&fetched)];
    for text in texts.into_iter().chain([format!("{fetched:?}"), told(&refused)]) {
        assert!(!text.contains("hunter"), "{text}");
    }
    assert_eq!(shown("https://a:b@host/x.gguf?sig=c#d"), "https://host/x.gguf");
    assert_eq!(shown("a folder/x.gguf?"), "a folder/x.gguf?");
}

#[test]
fn a_page_of_another_program_is_no_export() {
    let page = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html; charset=utf-8\r\n\
                content-length: 5\r\n\r\nhello";
    let (url, _server) = serve(vec![Reply::Whole(page.to_owned())]);
    let error = Client::new(url).read("memory/export", &[], "application/json").err().unwrap();
    assert_eq!(error.kind(), ClientErrorKind::Unexpected, "{}", told(&error));
    assert!(told(&error).contains("sends text/html: it is no codexd"), "{}", told(&error));
}
