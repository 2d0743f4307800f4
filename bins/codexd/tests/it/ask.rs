//! `codexd ask`, with a daemon and without.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    daemon::{Ended, Home},
    fake::LONG,
};

#[test]
fn only_the_answer_goes_to_standard_output() {
    let home = Home::new();
    let ended = home.run(&["ask", "What", "is this?"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "So you say: What is this?\n"));
    assert_eq!(ended.err, "");
}

#[test]
fn what_is_piped_in_stands_below_the_question() {
    let home = Home::new();
    let ended = home.run_with_input(&["ask", "Summarise:"], "one\ntwo\n");
    assert_eq!(ended.out, "So you say: Summarise:\n\none\ntwo\n");
    assert_eq!(home.run_with_input(&["ask"], "alone").out, "So you say: alone\n");
    let ended = home.run(&["ask"]);
    assert_eq!(ended.code, 64);
    assert!(ended.err.contains("ask what?") && ended.err.ends_with(" [wrong_usage]\n"));
}

#[test]
fn a_running_daemon_is_found_and_remembers() {
    let home = Home::new();
    let daemon = home.serve();
    assert_eq!(home.run(&["ask", "--session", "s", "One"]).code, 0);
    let ended = home.run(&["ask", "--session", "s", "--system", "Be brief.", "Two"]);
    assert_eq!(ended.out, "So you say: Two\n");
    let shown = home.model.last_messages();
    let shown: Vec<_> = shown.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
    let expected = [
        ("system", "Be brief."),
        ("user", "One"),
        ("assistant", "So you say: One"),
        ("user", "Two"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(daemon.messages("s").len(), 4);
    let list = home.run(&["sessions"]);
    assert!(list.out.starts_with("s  "), "{}", list.out);
    assert!(home.run(&["sessions", "show", "s"]).out.contains("user: Two\n"));
    assert_eq!(home.run(&["sessions", "delete", "s"]).code, 0);
    assert_eq!(home.run(&["sessions"]).out, "");
    let models = home.run(&["models"]).out;
    let first = models.lines().next().unwrap();
    assert!(first.starts_with("openai/fake  (default)  chat, "), "{models}");
    assert!(models.contains("\nopenai  ok           models: 1\n"), "{models}");
}

#[test]
fn a_daemon_on_another_folder_is_found_by_its_port() {
    let (home, other) = (Home::new(), Home::new());
    let daemon = home.serve();
    let mut ask = other.codexd(&["ask", "--session", "s", "Hello"]);
    ask.env_remove("CODEXD_DATA_DIR").env("HOME", other.path());
    ask.env("PORT", daemon.url.rsplit(':').next().unwrap());
    let ended = Ended::of(&ask.output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (0, "So you say: Hello\n"), "{}", ended.err);
    assert!(ended.err.contains(&format!("speaking to the daemon at {}", daemon.url)));
    assert_eq!(daemon.messages("s").len(), 2);
    // `--url` may stand behind the subcommand.
    let sessions = other.run(&["sessions", "list", "--url", &daemon.url]);
    assert!(sessions.out.starts_with("s "), "{}", sessions.err);
}

#[test]
fn who_listens_and_does_not_answer_is_no_reason_for_another_memory() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let ask = || {
        let mut ask = home.codexd(&["ask", "Hello"]);
        ask.env_remove("CODEXD_DATA_DIR").env("HOME", home.path());
        ask.env("PORT", address.port().to_string());
        Ended::of(&ask.output().unwrap())
    };
    // What an earlier process left there changes nothing.
    let usual = home.path().join(".local/share/codexd");
    fs::create_dir_all(&usual).unwrap();
    fs::write(usual.join("daemon.json"), "{}").unwrap();
    let ended = ask();
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{}", ended.err);
    assert!(ended.err.contains(&format!("something listens at http://{address}")), "{}", ended.err);
    assert!(ended.err.ends_with(" [daemon_unreachable]\n"), "{}", ended.err);
    assert!(!usual.join("memory.db").exists());
    drop(silent);
    let ended = ask();
    assert_eq!((ended.code, ended.out.as_str()), (0, "So you say: Hello\n"), "{}", ended.err);
    assert!(usual.join("memory.db").exists());
}

#[test]
fn a_daemon_that_hangs_on_the_folder_is_told() {
    let home = Home::new();
    let daemon = home.serve();
    daemon.signal(Signal::SIGSTOP);
    let ended = home.run(&["ask", "Hello"]);
    daemon.signal(Signal::SIGCONT);
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{}", ended.err);
    assert!(ended.err.ends_with(" [daemon_unreachable]\n"), "{}", ended.err);
}

#[test]
fn without_a_daemon_memory_is_the_same() {
    let home = Home::new();
    home.run(&["ask", "--session", "s", "One"]);
    let ended = home.run(&["ask", "--json", "--session", "s", "Two"]);
    let answer: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(answer["status"], "completed");
    assert_eq!(answer["session_id"], "s");
    assert_eq!(answer["message"]["content"][0]["text"], "So you say: Two");
    assert_eq!(home.model.last_messages().len(), 3);
    assert!(!home.path().join("daemon.json").exists());
}

#[test]
fn a_provider_that_refuses_is_a_failure_that_is_explained() {
    let home = Home::new();
    let ended = home.run(&["ask", "--session", "s", "fail"]);
    assert_eq!((ended.code, ended.out.as_str()), (69, ""));
    assert!(ended.err.starts_with("codexd: "), "{}", ended.err);
    assert!(ended.err.ends_with(" [provider_unauthorised]\n"), "{}", ended.err);
    let ended = home.run(&["ask", "--json", "fail"]);
    let answer: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &answer["error"]["code"]), (69, &"provider_unauthorised".into()));
    let daemon = home.serve();
    let messages = daemon.messages("s");
    assert_eq!(messages[0], ("user".into(), "complete".into(), "fail".into()));
    assert_eq!(messages[1].1, "failed");
}

#[test]
fn a_daemon_that_is_not_there_is_a_failure() {
    let home = Home::new();
    let ended = home.run(&["ask", "--url", "http://127.0.0.1:9", "Hello"]);
    assert_eq!(ended.code, 69);
    assert!(ended.err.contains("`codexd serve` starts one"), "{}", ended.err);
    assert!(ended.err.ends_with(" [daemon_unreachable]\n"), "{}", ended.err);
    let json = home.run(&["ask", "--json", "--url", "http://127.0.0.1:9", "Hello"]);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &answer["error"]["code"]), (69, &"daemon_unreachable".into()));
    assert!(!home.database().exists());
    let ended = home.run(&["ask", "--url", "http://me:hunter2@127.0.0.1:9", "Hello"]);
    assert!(ended.err.contains("127.0.0.1:9") && !ended.err.contains("hunter2"), "{}", ended.err);
}

#[test]
fn a_session_gets_its_title_before_a_daemon_of_its_own_ends() {
    let home = Home::new();
    let mut ask = home.codexd(&["ask", "--session", "s", "Trains to Lisbon"]);
    assert_eq!(Ended::of(&ask.env("SUMMARY_MODEL", "fake").output().unwrap()).code, 0);
    let list = home.run(&["sessions"]);
    let title = list.out.splitn(3, "  ").nth(2);
    assert_eq!(title, Some("So you say: Trains to Lisbon\n"), "{}", list.out);
}

#[test]
fn a_damaged_model_is_explained_and_what_was_said_is_kept() {
    let home = Home::new();
    let model = home.path().join("damaged.gguf");
    fs::write(&model, [b"GGUF".as_slice(), &[7; 4096]].concat()).unwrap();
    let ask = ["ask", "--session", "s", "--model", "local/damaged", "Hello"];
    let ended = Ended::of(&home.codexd(&ask).env("LOCAL_MODEL_PATH", &model).output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (65, ""));
    assert!(ended.err.contains("damaged.gguf is damaged"), "{}", ended.err);
    assert!(ended.err.ends_with(" [model_damaged]\n"), "{}", ended.err);
    assert_eq!(home.serve().messages("s")[0].2, "Hello");
}

#[test]
fn ctrl_c_stops_the_answer_and_keeps_what_there_is() {
    let home = Home::new();
    let daemon = home.serve();
    let mut ask = home.codexd(&["ask", "--session", "s", "hang"]);
    let mut child = ask.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut begin = [0; 100];
    child.stdout.as_mut().unwrap().read_exact(&mut begin).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{}", ended.err);
    assert!(ended.err.ends_with(" [interrupted]\n"), "{}", ended.err);
    let answer = &daemon.messages("s")[1];
    assert_eq!((answer.1.as_str(), answer.2.len()), ("interrupted", LONG));
}

#[test]
fn sigterm_keeps_what_there_is_without_a_daemon() {
    let home = Home::new();
    let mut ask = home.codexd(&["ask", "--session", "s", "hang"]);
    let mut child = ask.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{}", ended.err);
    let answer = &home.serve().messages("s")[1];
    assert_eq!((answer.1.as_str(), answer.2.len()), ("interrupted", LONG));
}

/// Stands between a client and the server at `url`; cuts the first connection within its first
/// piece of text, and says when it has.
fn cutting_proxy(url: &str) -> (String, mpsc::Receiver<()>) {
    let server = url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, (cut, was_cut)) =
        (format!("http://{}", listener.local_addr().unwrap()), mpsc::channel());
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut from_client, mut to_server) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || drop(std::io::copy(&mut from_client, &mut to_server)));
            let cut = (number == 0).then(|| cut.clone());
            thread::spawn(move || pass_on(&mut server, &mut client, cut.as_ref()));
        }
    });
    (url, was_cut)
}

fn pass_on(server: &mut TcpStream, client: &mut TcpStream, cut: Option<&mpsc::Sender<()>>) {
    let (mut buffer, mut seen) = ([0; 512], Vec::new());
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        client.write_all(&buffer[..count]).unwrap();
        seen.extend_from_slice(&buffer[..count]);
        let has_text = String::from_utf8_lossy(&seen).contains("text.delta");
        if let Some(cut) = cut.filter(|_| has_text) {
            client.shutdown(Shutdown::Both).unwrap();
            server.shutdown(Shutdown::Both).unwrap();
            return cut.send(()).unwrap();
        }
    }
}

#[test]
fn an_answer_goes_on_where_the_connection_broke() {
    let home = Home::new();
    let daemon = home.serve();
    let (url, was_cut) = cutting_proxy(&daemon.url);
    let mut ask = home.codexd(&["ask", "--url", &url, "hold"]);
    let child = ask.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    was_cut.recv().unwrap();
    home.model.release();
    let ended = Ended::of(&child.wait_with_output().unwrap());
    let expected = format!("{}So you say: hold\n", "x".repeat(LONG));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.out == expected, "{}", ended.out);
}
