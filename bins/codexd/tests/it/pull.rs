//! `codexd models pull`: only whole and right files get in.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

use crate::daemon::Home;

/// A file that looks like a model.
fn model() -> Vec<u8> {
    let noise = (0..100_000_u32).flat_map(u32::to_le_bytes);
    b"GGUF".iter().copied().chain(noise).collect()
}

/// Serves [`model`]: half of it and then nothing, then what a range asks for, then half of it
/// again, then a later version that answers to no part of another.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tiny.gguf?x=1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(&stream).lines().map(Result::unwrap);
            let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
            let field = |name: &str| head.iter().find_map(|it| it.strip_prefix(name));
            let version = if number < 3 { "\"one\"" } else { "\"two\"" };
            let range = field("range: bytes=").filter(|_| field("if-range: ") == Some(version));
            let from: usize = range.map_or(0, |it| it.trim_end_matches('-').parse().unwrap());
            let (model, end) = (model(), if number % 2 == 0 { 1000 } else { usize::MAX });
            let status = if 0 < from { "206 Part" } else { "200 OK" };
            let (rest, last) = (&model[from..], model.len() - 1);
            let length = rest.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n").unwrap();
            write!(stream, "content-range: bytes {from}-{last}/{}\r\n", last + 1).unwrap();
            write!(stream, "etag: {version}\r\nconnection: close\r\n\r\n").unwrap();
            stream.write_all(&rest[..length.min(end)]).unwrap();
        }
    });
    url
}

#[test]
fn a_file_is_copied_and_verified() {
    let home = Home::new();
    let source = home.path().join("tiny.gguf");
    fs::write(&source, model()).unwrap();
    let source = source.to_str().unwrap();
    let wrong = home.run(&["models", "pull", source, "--sha256", &"0".repeat(64)]);
    assert_eq!(wrong.code, 65);
    assert!(wrong.err.ends_with(" [wrong_file]\n"), "{}", wrong.err);
    let sum = wrong.err.split("sha256 ").nth(1).unwrap()[..64].to_owned();
    let folder = home.path().join("models");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let right = home.run(&["models", "pull", source, "--sha256", &sum]);
    assert_eq!(right.code, 0, "{}", right.err);
    assert_eq!(fs::read(folder.join("tiny.gguf")).unwrap(), model());
    assert!(home.run(&["check"]).out.contains("tiny") || right.out.contains(&sum));
}

#[test]
fn what_is_no_model_does_not_get_in() {
    let home = Home::new();
    let source = home.path().join("page.gguf");
    fs::write(&source, "<html>not found</html>").unwrap();
    let ended = home.run(&["models", "pull", source.to_str().unwrap()]);
    assert_eq!(ended.code, 65);
    let says = "page.gguf is no GGUF file; it was left as it is, and its copy removed";
    assert!(ended.err.contains(says), "{}", ended.err);
    assert!(source.exists());
    assert_eq!(fs::read_dir(home.path().join("models")).unwrap().count(), 0);
    assert!(home.run(&["models", "pull", "model.whl"]).err.contains("no .gguf file"));
    let ended = home.run(&["models", "pull", "http://me:hunter2@host/model.whl?sig=hunter3"]);
    assert!(ended.err.contains("//host/model.whl is no") && !ended.err.contains("hunter"));
    let ended = home.run(&["models", "pull", "gone.gguf"]);
    assert_eq!(ended.code, 74);
    assert!(ended.err.contains("cannot read gone.gguf"), "{}", ended.err);
    assert!(ended.err.ends_with(" [cannot_read]\n"), "{}", ended.err);
}

#[test]
fn a_download_that_broke_goes_on() {
    let home = Home::new();
    let (url, target) = (server(), home.path().join("models/tiny.gguf"));
    for part in ["resumed", "begun anew"] {
        let broken = home.run(&["models", "pull", &url]);
        assert_eq!(broken.code, 75);
        assert!(broken.err.ends_with(" [connection_broken]\n"), "{}", broken.err);
        assert!(broken.err.contains("run the command again"), "{}", broken.err);
        assert!(!target.exists());
        let whole = home.run(&["models", "pull", &url]);
        assert_eq!(whole.code, 0, "{part}: {}", whole.err);
        assert_eq!(fs::read(&target).unwrap(), model(), "{part}");
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn a_good_file_is_not_replaced_unless_that_is_meant() {
    let home = Home::new();
    let (source, target) = (home.path().join("tiny.gguf"), home.path().join("models/tiny.gguf"));
    let pull = ["models", "pull", source.to_str().unwrap(), "--force"];
    fs::write(&source, model()).unwrap();
    assert_eq!(home.run(&pull[..3]).code, 0);
    fs::write(&source, "GGUF, but another one").unwrap();
    assert!(home.run(&pull[..3]).err.contains("is there already"));
    assert_eq!(fs::read(&target).unwrap(), model());
    let lock = fs::File::create(home.path().join("models.lock")).unwrap();
    lock.lock().unwrap();
    let second = home.run(&pull);
    assert_eq!(second.code, 75, "{}", second.err);
    drop(lock);
    assert_eq!(home.run(&pull).code, 0);
    assert_ne!(fs::read(&target).unwrap(), model());
}
