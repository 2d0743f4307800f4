//! What a summarising model reads: the summary so far, and whole turns as text, oldest first.

use crate::{
    chat::{Message, Part, Role},
    memory::{Entry, EntryStatus},
    window::Counting,
};

/// A text to summarise.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) text: String,
    /// How many entries it has.
    pub(super) entries: usize,
}

impl Transcript {
    /// As many whole turns of `entries` as fit into `room` tokens, one at least: if that one is too
    /// long, each of its messages loses its middle.
    pub(super) fn of(so_far: &str, entries: &[Entry], room: u64, counting: &mut Counting) -> Self {
        let begin = begin(so_far);
        let room = room.saturating_sub(counting.text(&begin).count).max(64);
        let (mut said, mut taken, mut tokens) = (String::new(), 0, 0);
        for turn in turns(entries) {
            let mut text = told(turn, usize::MAX);
            let mut more = counting.text(&text).count;
            if taken == 0 && room < more {
                text = told(turn, share(room, turn.len()));
                more = 0;
            }
            if room < tokens + more {
                break;
            }
            tokens += more;
            taken += turn.len();
            said.push_str(&text);
        }
        Self { text: format!("{begin}{said}</conversation>"), entries: taken }
    }
}

fn begin(so_far: &str) -> String {
    match so_far.trim() {
        "" => "<conversation>\n".to_owned(),
        so_far => format!("<summary>\n{so_far}\n</summary>\n<conversation>\n"),
    }
}

/// Bytes that each of so many messages may have, a token of which may be a single one.
fn share(room: u64, messages: usize) -> usize {
    usize::try_from(room).unwrap_or(usize::MAX) / messages.max(1)
}

/// Each begins with what the user says.
fn turns(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|_, next| next.body.message.role != Role::User)
}

fn told(turn: &[Entry], most: usize) -> String {
    let mut told = String::new();
    for entry in turn {
        match entry.body.status {
            EntryStatus::Complete | EntryStatus::Interrupted => {
                tell(&entry.body.message, most, &mut told);
            }
            EntryStatus::Failed | EntryStatus::Forgotten => {}
        }
    }
    told
}

fn tell(message: &Message, most: usize, told: &mut String) {
    let who = match message.role {
        Role::System => "Instructions",
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool result",
    };
    for part in &message.content {
        let text = match part {
            Part::Text { text } => shortened(text, most),
            Part::Image { .. } => "[a picture]".to_owned(),
            Part::File { file_id, name } => {
                format!("[the file {}]", name.as_deref().unwrap_or(file_id))
            }
        };
        line(told, who, &text);
    }
    for call in &message.tool_calls {
        line(
            told,
            "Assistant calls",
            &format!("{} {}", call.name, shortened(&call.arguments, most)),
        );
    }
}

fn line(told: &mut String, who: &str, text: &str) {
    for piece in [who, ": ", text, "\n"] {
        told.push_str(piece);
    }
}

/// The text without its middle, if it is longer than `most` bytes.
fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let head = text.get(..text.floor_char_boundary(most / 2)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len() - most / 2)..).unwrap_or_default();
    let left_out = text.len() - head.len() - tail.len();
    format!("{head} [… {left_out} bytes left out …] {tail}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Transcript;
    use crate::{
        chat::{Message, ToolCall},
        ids::Seq,
        memory::{Entry, EntryBody},
        time::Timestamp,
        window::Counting,
    };

    fn entries(messages: Vec<Message>) -> Vec<Entry> {
        let entry = |(seq, message): (u64, Message)| {
            let body = EntryBody::complete(message, Timestamp::default());
            Entry { seq: Seq(seq), parent: seq.checked_sub(1).map(Seq), body: Arc::new(body) }
        };
        (1..).zip(messages).map(entry).collect()
    }

    fn conversation() -> Vec<Entry> {
        let (id, name, arguments) = ("1".to_owned(), "double".to_owned(), "21".to_owned());
        let call = ToolCall { id, name, arguments, provider_id: None };
        entries(vec![
            Message::user("Double 21."),
            Message { tool_calls: vec![call], ..Message::assistant("Let me see.") },
            Message::tool("1", "42"),
            Message::assistant("It is 42."),
            Message::user("Thanks."),
            Message::assistant("You are welcome."),
        ])
    }

    fn of(so_far: &str, entries: &[Entry], room: u64) -> Transcript {
        Transcript::of(so_far, entries, room, &mut Counting::estimate())
    }

    #[test]
    fn turns_are_told_whole_and_in_order() {
        let all = of("They met.", &conversation(), 10_000);
        assert_eq!(all.entries, 6);
        insta::assert_snapshot!(all.text);
        assert_eq!(of("", &conversation(), 64).entries, 4, "the second turn does not fit");
    }

    #[test]
    fn a_turn_that_is_too_long_loses_the_middle_of_its_messages() {
        let long = entries(vec![Message::user(format!("begin{}end", "é".repeat(9_000)))]);
        let cut = of("", &long, 500);
        assert_eq!(cut.entries, 1);
        assert!(cut.text.contains("User: begin") && cut.text.contains("end\n"), "{}", cut.text);
        assert!(cut.text.contains("bytes left out") && cut.text.len() < 700);
    }

    #[test]
    fn what_was_forgotten_is_not_told() {
        let mut entries = conversation();
        entries[0].body = Arc::new(entries[0].body.forgotten());
        assert!(!of("", &entries, 10_000).text.contains("Double"));
    }
}
