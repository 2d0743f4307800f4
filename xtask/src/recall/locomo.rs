//! The LoCoMo format: conversations of two people over many sessions, and questions with the turns that answer them.
//!
//! The data is CC BY-NC and is read from wherever it lies; none of it is in the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use brain_core::time::Timestamp;
use serde_json::Value;

use super::Fault;

/// One conversation.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) sessions: Vec<Vec<Turn>>,
    pub(super) questions: Vec<Question>,
}

/// What one of the two says.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: String,
    /// Who, and what, and which picture is shown.
    pub(super) text: String,
    /// Whether it is the first of the two.
    pub(super) is_first: bool,
    /// When the session began.
    pub(super) time: Timestamp,
}

/// A question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) text: String,
    pub(super) category: u64,
    /// The turns that answer it; none of them is unknown, and there is one.
    pub(super) evidence: Vec<String>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<Sample>, Fault> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let samples: Vec<Value> = serde_json::from_str(&text)?;
    samples.iter().map(sample).collect()
}

fn sample(value: &Value) -> Result<Sample, Fault> {
    let name = text(value, "sample_id")?;
    let conversation = value.get("conversation").ok_or("a sample without a conversation")?;
    let first = text(conversation, "speaker_a")?;
    let mut sessions = Vec::new();
    for number in 1.. {
        let key = format!("session_{number}");
        let date = format!("{key}_date_time");
        match (conversation.get(&key), conversation.get(&date).and_then(Value::as_str)) {
            (Some(Value::Array(turns)), Some(date)) => {
                let time = time(date).ok_or_else(|| format!("`{date}` is no time"))?;
                let turns = turns.iter().map(|it| turn(it, &first, time));
                sessions.push(turns.collect::<Result<_, _>>()?);
            }
            // Some have dates of sessions that are not there.
            (_, Some(_)) => {}
            (_, None) => break,
        }
    }
    let known = sessions.iter().flatten().map(|it: &Turn| it.id.clone()).collect();
    let questions =
        value.get("qa").and_then(Value::as_array).ok_or("a sample without questions")?;
    let questions = questions.iter().filter_map(|it| question(it, &known)).collect();
    Ok(Sample { name, sessions, questions })
}

fn turn(value: &Value, first: &str, time: Timestamp) -> Result<Turn, Fault> {
    let (speaker, said) = (text(value, "speaker")?, text(value, "text")?);
    let shown = value.get("blip_caption").and_then(Value::as_str);
    let shown = shown.map(|it| format!(" [shares {it}]")).unwrap_or_default();
    Ok(Turn {
        id: text(value, "dia_id")?,
        text: format!("{speaker}: {said}{shown}"),
        is_first: speaker == first,
        time,
    })
}

fn question(value: &Value, known: &BTreeSet<String>) -> Option<Question> {
    let named = value.get("evidence")?.as_array()?.iter().filter_map(Value::as_str);
    let mut evidence: Vec<_> = named.flat_map(ids).filter(|id| known.contains(id)).collect();
    evidence.sort_unstable();
    evidence.dedup();
    let category = value.get("category").and_then(Value::as_u64)?;
    let text = text(value, "question").ok()?;
    (!evidence.is_empty()).then_some(Question { text, category, evidence })
}

/// The turns that a piece of evidence names. Some pieces are malformed: `D8:6; D9:17`, `D:11:26`, `D30:05`.
fn ids(evidence: &str) -> Vec<String> {
    let id = |piece: &str| {
        let mut numbers = piece.split(|it: char| !it.is_ascii_digit()).filter(|it| !it.is_empty());
        let (session, turn) = (numbers.next()?, numbers.next()?);
        Some(format!("D{}:{}", session.parse::<u32>().ok()?, turn.parse::<u32>().ok()?))
    };
    evidence.split('D').filter_map(id).collect()
}

/// `1:56 pm on 8 May, 2023`.
fn time(text: &str) -> Option<Timestamp> {
    let words: Vec<_> = text.split([' ', ',', ':']).filter(|it| !it.is_empty()).collect();
    let [hour, minute, half, "on", day, month, year] = *words.as_slice() else { return None };
    let (hour, day): (u32, u32) = (hour.parse().ok()?, day.parse().ok()?);
    let hour = hour % 12 + if half.eq_ignore_ascii_case("pm") { 12 } else { 0 };
    let months = BTreeMap::from([
        ("Jan", 1),
        ("Feb", 2),
        ("Mar", 3),
        ("Apr", 4),
        ("May", 5),
        ("Jun", 6),
        ("Jul", 7),
        ("Aug", 8),
        ("Sep", 9),
        ("Oct", 10),
        ("Nov", 11),
        ("Dec", 12),
    ]);
    let month = months.get(month.get(..3)?)?;
    Timestamp::parse(&format!("{year}-{month:02}-{day:02}T{hour:02}:{minute}:00Z")).ok()
}

fn text(value: &Value, key: &str) -> Result<String, Fault> {
    let text = value.get(key).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("no `{key}` where one belongs"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{ids, time};

    #[test]
    fn malformed_evidence_is_mended() {
        for (evidence, turns) in [
            ("D1:3", &["D1:3"][..]),
            ("D8:6; D9:17", &["D8:6", "D9:17"]),
            ("D:11:26", &["D11:26"]),
            ("D30:05", &["D30:5"]),
            ("D", &[]),
        ] {
            assert_eq!(ids(evidence), turns, "{evidence}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1:56 pm on 8 May, 2023", Some("2023-05-08T13:56:00.000Z")),
            ("12:09 am on 13 September, 2023", Some("2023-09-13T00:09:00.000Z")),
            ("yesterday", None),
        ] {
            assert_eq!(time(text).map(|it| it.to_string()).as_deref(), expected, "{text}");
        }
    }
}
