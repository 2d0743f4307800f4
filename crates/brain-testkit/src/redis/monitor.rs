//! What a server is sent, by clients and by scripts, as `MONITOR` tells it.

use std::{
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use super::wire::{Client, Reply};

/// A recording in progress.
#[derive(Debug)]
pub struct Monitor {
    stream: UnixStream,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(super) fn begin(mut client: Client) -> Self {
        assert_eq!(client.ask(&["MONITOR"]), Reply::Status("OK".to_owned()));
        let stream = client.stream().try_clone().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let read = move || {
            while let Ok(Reply::Status(line)) = client.receive() {
                kept.lock().unwrap().push(line);
            }
        };
        Self { stream, lines, reader: Some(std::thread::spawn(read)) }
    }

    /// The commands until now, each as its words, in the order that they ran.
    pub fn so_far(&self) -> Vec<Vec<String>> {
        self.lines.lock().unwrap().iter().map(|it| words(it)).collect()
    }

    fn stop(&mut self) {
        drop(self.stream.shutdown(Shutdown::Both));
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The words of `1700000000.1 [0 lua] "HGET" "a\"b"`. What is escaped stays so, since not all
/// servers escape the same; names of commands and options never are.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split_once("] ").map_or("", |(_, rest)| rest);
    let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.map_or_else(Vec::new, |it| it.split("\" \"").map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_line_is_taken_apart() {
        assert_eq!(words(r#"1.2 [0 lua] "HGET" "a\"b c" "\x00""#), ["HGET", "a\\\"b c", "\\x00"]);
        assert_eq!(words(r#"1.2 [0 unix:/s] "PING""#), ["PING"]);
        assert_eq!(words(r#"1.2 [0 lua] "SET" "{"v":1}" """#), ["SET", "{\"v\":1}", ""]);
    }
}
