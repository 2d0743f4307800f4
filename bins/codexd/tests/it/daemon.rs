//! Running the binary: with its own data folder, and nothing of the developer's environment.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake::FakeModel;

/// A data folder with a model server, for commands and daemons.
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) model: FakeModel,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), model: FakeModel::start() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("memory.db")
    }

    /// A command of the binary here.
    pub(crate) fn codexd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codexd"));
        command
            .args(arguments)
            .env_clear()
            .env("CODEXD_DATA_DIR", self.path())
            .env("OPENAI_BASE_URL", &self.model.url)
            .env("MODEL", "fake")
            .env("SUMMARY_MODEL", "off")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.codexd(arguments).output().unwrap())
    }

    /// Runs a command to its end, with something to read.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.codexd(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ended::of(&child.wait_with_output().unwrap())
    }

    /// A daemon that is ready.
    pub(crate) fn serve(&self) -> Daemon {
        Daemon::start(self.codexd(&["serve", "--port", "0"]))
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// A daemon in a process of its own, which ends with this value.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) url: String,
}

impl Daemon {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut banner = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = banner.find_map(|line| {
            let line = line.unwrap();
            line.trim().strip_prefix("address").map(|it| it.trim().to_owned())
        });
        let Some(url) = address else {
            let mut log = String::new();
            child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            panic!("the daemon did not start:\n{log}");
        };
        Self { child, url }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end; returns its exit code and its log.
    pub(crate) fn wait(&mut self) -> (i32, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), log)
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) -> (i32, String) {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The events of a turn that says `message`, as they come.
    pub(crate) fn chat(&self, session: &str, message: &str) -> Events {
        let body = json!({"session_id": session, "message": message, "stream": true});
        let response = ureq::post(format!("{}/chat", self.url)).send_json(body).unwrap();
        Events(BufReader::new(Box::new(response.into_body().into_reader())))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let mut response = ureq::post(format!("{}{path}", self.url)).send_json(body).unwrap();
        response.body_mut().read_json().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let mut response = ureq::get(format!("{}{path}", self.url)).call().unwrap();
        response.body_mut().read_json().unwrap()
    }

    /// The messages of a session as (role, status, text).
    pub(crate) fn messages(&self, session: &str) -> Vec<(String, String, String)> {
        let session = self.get(&format!("/memory/sessions?id={session}"));
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let entries = session["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|it| (text(&it["role"]), text(&it["status"]), text(&it["content"][0]["text"])))
            .collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The events of a turn.
pub(crate) struct Events(BufReader<Box<dyn Read + Send>>);

impl Events {
    /// Waits for an event of this name, and returns its data.
    pub(crate) fn until(&mut self, name: &str) -> Value {
        let mut found = false;
        for line in self.0.by_ref().lines() {
            let line = line.unwrap();
            found |= line.strip_prefix("event:").is_some_and(|it| it.trim() == name);
            if let Some(data) = line.strip_prefix("data:").filter(|_| found) {
                return serde_json::from_str(data).unwrap();
            }
        }
        panic!("the stream ended before `{name}`")
    }
}

#[test]
fn a_daemon_runs_inside_another_program() {
    use codexd::{config::Config, daemon, settings::Settings};

    let home = Home::new();
    let mut settings = Settings::default();
    settings.set("CODEXD_DATA_DIR", home.path().to_str().unwrap(), "test");
    settings.set("OPENAI_BASE_URL", &*home.model.url, "test");
    let config = Config::new(&settings).unwrap();
    let runtime = daemon::runtime().unwrap();
    let any_port = "127.0.0.1:0".parse().unwrap();
    let daemon = runtime.block_on(daemon::Daemon::start(&config, any_port)).unwrap();
    let url = format!("http://{}/chat", daemon.address());
    let mut answer = ureq::post(url).send_json(json!({"message": "Hello"})).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(answer["message"]["content"][0]["text"], "So you say: Hello");
    let stop = daemon.stop(std::time::Duration::from_secs(5), std::future::pending());
    assert_eq!(runtime.block_on(stop), 0);
    assert!(!fs::exists(home.path().join("daemon.json")).unwrap());
}
