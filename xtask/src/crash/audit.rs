//! Reading every session back, and holding it against what was acknowledged.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Fault,
    client::Client,
    message::{Ledger, Message, Name},
};

/// Entries of a page.
const PAGE: usize = 1_000;
/// Sentences that are kept for people.
const SENTENCES: usize = 20;

/// What was found; every count but `entries` and `unacknowledged` ought to be 0.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Acknowledged messages that are not there.
    pub(super) lost: usize,
    /// Messages that are there more than once.
    pub(super) doubled: usize,
    /// Messages that stand before one which was acknowledged before they were sent.
    pub(super) disordered: usize,
    /// Acknowledged answers that are not where they were said to be.
    pub(super) lost_answers: usize,
    /// Entries that nobody wrote, or that are not on the branch.
    pub(super) strange: usize,
    /// Messages that are there though their writer never heard so; as it should be.
    pub(super) unacknowledged: usize,
    /// Entries read.
    pub(super) entries: usize,
    /// The first findings, for people.
    pub(super) sentences: Vec<String>,
}

impl Audit {
    /// Whether every promise was kept.
    pub(super) fn is_clean(&self) -> bool {
        let Self { lost, doubled, disordered, lost_answers, strange, .. } = *self;
        lost + doubled + disordered + lost_answers + strange == 0
    }

    fn note(&mut self, session: &str, sentence: &str) {
        if self.sentences.len() < SENTENCES {
            self.sentences.push(format!("{session}: {sentence}"));
        }
    }
}

/// An entry as the API shows it.
#[derive(Debug)]
struct Entry {
    seq: u64,
    parent: Option<u64>,
    role: String,
    status: String,
    text: String,
}

/// Reads all sessions of the ledger.
pub(super) fn audit(client: &Client, ledger: &Ledger) -> Result<Audit, Fault> {
    let mut audit = Audit::default();
    for (session, messages) in ledger.sessions.iter().filter(|(_, it)| !it.is_empty()) {
        let (entries, count) = read(client, session)?;
        audit.entries += entries.len();
        if entries.len() as u64 != count {
            audit.strange += 1;
            let on_branch = entries.len();
            audit.note(session, &format!("{count} entries, {on_branch} of them on the branch"));
        }
        check(&mut audit, session, messages, &entries);
    }
    Ok(audit)
}

/// The head's whole branch, oldest first, and how many entries the session has.
fn read(client: &Client, session: &str) -> Result<(Vec<Entry>, u64), Fault> {
    let (mut pages, mut from) = (Vec::new(), None);
    loop {
        let (limit, last) = (PAGE.to_string(), from.map(|it: u64| it.to_string()));
        let mut query = vec![("id", session), ("limit", limit.as_str())];
        query.extend(last.as_deref().map(|it| ("from", it)));
        // A session whose messages were never acknowledged may not exist.
        let Some(page) = client.get("/memory/sessions", &query)? else {
            return Ok((Vec::new(), 0));
        };
        let all = page.get("entries").and_then(Value::as_array);
        let entries: Vec<Entry> = all.into_iter().flatten().map(entry).collect();
        from = entries.first().and_then(|it| it.parent);
        pages.push(entries);
        if page.get("has_older") != Some(&Value::Bool(true)) || from.is_none() {
            let count = page.pointer("/session/entry_count").and_then(Value::as_u64);
            let count = count.unwrap_or_default();
            return Ok((pages.into_iter().rev().flatten().collect(), count));
        }
    }
}

fn entry(value: &Value) -> Entry {
    let text = |path| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let position = |path| value.pointer(path).and_then(Value::as_u64);
    Entry {
        seq: position("/seq").unwrap_or_default(),
        parent: position("/parent"),
        role: text("/role"),
        status: text("/status"),
        text: text("/content/0/text"),
    }
}

fn check(audit: &mut Audit, session: &str, messages: &[Message], entries: &[Entry]) {
    let by_text: HashMap<String, &Message> =
        messages.iter().map(|it| (it.name.text(), it)).collect();
    let said: Vec<&Entry> = entries.iter().filter(|it| it.role == "user").collect();
    let found: Vec<&Message> =
        said.iter().filter_map(|it| by_text.get(&it.text).copied()).collect();
    for it in said.iter().filter(|it| !by_text.contains_key(&it.text)) {
        audit.strange += 1;
        let beginning: String = it.text.chars().take(40).collect();
        audit.note(session, &format!("entry {} was never sent: {beginning}", it.seq));
    }
    count_messages(audit, session, messages, &found);
    check_order(audit, session, &found);
    check_chain(audit, session, entries);
    check_answers(audit, session, messages, entries);
}

fn count_messages(audit: &mut Audit, session: &str, messages: &[Message], found: &[&Message]) {
    let mut times: HashMap<Name, usize> = HashMap::new();
    found.iter().for_each(|it| *times.entry(it.name).or_default() += 1);
    for it in messages {
        let key = it.name.key();
        match (times.get(&it.name).copied().unwrap_or_default(), it.stored) {
            (0, Some(_)) => {
                audit.lost += 1;
                audit.note(session, &format!("{key} was acknowledged and is lost"));
            }
            (0, None) | (1, Some(_)) => {}
            (1, None) => audit.unacknowledged += 1,
            (n, _) => {
                audit.doubled += n - 1;
                audit.note(session, &format!("{key} is there {n} times"));
            }
        }
    }
}

/// Whoever was sent after another one was acknowledged stands after it: among the messages of a writer, and of two.
fn check_order(audit: &mut Audit, session: &str, found: &[&Message]) {
    let mut earliest: Option<(u64, Name)> = None;
    for it in found.iter().rev() {
        if let Some((_, later)) = earliest.filter(|(stored, _)| *stored < it.sent) {
            audit.disordered += 1;
            let (key, later) = (it.name.key(), later.key());
            audit.note(session, &format!("{key} stands before {later}, which was stored first"));
        }
        let stored = it.stored.map(|stored| (stored, it.name));
        earliest = match (earliest, stored) {
            (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
    }
    let mut last: HashMap<u32, u32> = HashMap::new();
    for Name { writer, number, .. } in found.iter().map(|it| it.name) {
        let before = last.insert(writer, number);
        if before.is_some_and(|it| number < it) {
            audit.disordered += 1;
            audit.note(session, &format!("message {number} of writer {writer} is out of order"));
        }
    }
}

/// Positions rise, and each entry follows the one before it.
fn check_chain(audit: &mut Audit, session: &str, entries: &[Entry]) {
    let mut before = None;
    for it in entries {
        if it.parent != before || before.is_some_and(|before| it.seq <= before) {
            audit.strange += 1;
            audit.note(
                session,
                &format!("entry {} follows {:?}, not {before:?}", it.seq, it.parent),
            );
        }
        before = Some(it.seq);
    }
}

fn check_answers(audit: &mut Audit, session: &str, messages: &[Message], entries: &[Entry]) {
    let answers: HashMap<u64, &Entry> =
        entries.iter().filter(|it| it.role == "assistant").map(|it| (it.seq, it)).collect();
    for (name, seq) in messages.iter().filter_map(|it| Some((it.name, it.answer?))) {
        let kept = answers.get(&seq);
        if kept.is_none_or(|it| it.status != "complete" || it.text != "Noted.") {
            audit.lost_answers += 1;
            audit.note(session, &format!("the answer {seq} to {} is lost: {kept:?}", name.key()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, Entry, check};
    use crate::crash::message::{Message, Name};

    fn message(writer: u32, number: u32, sent: u64, stored: Option<u64>) -> Message {
        Message { name: Name { round: 1, session: 1, writer, number }, sent, stored, answer: None }
    }

    fn said(texts: &[&Message]) -> Vec<Entry> {
        let entry = |(index, it): (usize, &&Message)| Entry {
            seq: index as u64 + 1,
            parent: (0 < index).then_some(index as u64),
            role: "user".into(),
            status: "complete".into(),
            text: it.name.text(),
        };
        texts.iter().enumerate().map(entry).collect()
    }

    fn found(messages: &[Message], entries: &[Entry]) -> [usize; 5] {
        let mut audit = Audit::default();
        check(&mut audit, "s", messages, entries);
        assert_eq!(audit.is_clean(), audit.sentences.is_empty());
        [audit.lost, audit.doubled, audit.disordered, audit.lost_answers, audit.strange]
    }

    #[test]
    fn what_is_as_it_was_told_is_clean() {
        let (a, b, c) =
            (message(0, 0, 1, Some(2)), message(0, 1, 3, None), message(1, 0, 1, Some(9)));
        assert_eq!(found(&[a, b, c], &said(&[&a, &b, &c])), [0; 5]);
        assert_eq!(found(&[a, b, c], &said(&[&c, &a])), [0; 5]);
    }

    #[test]
    fn each_fault_is_seen() {
        let (a, b) = (message(0, 0, 1, Some(2)), message(0, 1, 3, Some(4)));
        let late = message(1, 0, 5, Some(6));
        assert_eq!(found(&[a, b], &said(&[&a])), [1, 0, 0, 0, 0]);
        assert_eq!(found(&[a, b], &said(&[&a, &b, &b])), [0, 1, 0, 0, 0]);
        assert_eq!(found(&[a, b], &said(&[&b, &a])), [0, 0, 2, 0, 0]);
        assert_eq!(found(&[a, late], &said(&[&late, &a])), [0, 0, 1, 0, 0]);
        assert_eq!(found(&[a], &said(&[&a, &b])), [0, 0, 0, 0, 1]);
        let answered = Message { answer: Some(2), ..a };
        assert_eq!(found(&[answered], &said(&[&a])), [0, 0, 0, 1, 0]);
        let mut entries = said(&[&a, &b]);
        entries[1].parent = None;
        assert_eq!(found(&[a, b], &entries), [0, 0, 0, 0, 1]);
    }
}
