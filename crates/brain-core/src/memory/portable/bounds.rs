//! How long the pieces of JSON are that a session brings along as they are: read, each takes many times
//! the memory of its text. It reads nothing of them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::loose::{Members, items, read};

/// Most bytes of a session's metadata, blanks and all; what is kept of it is bounded by whoever
/// imports.
const MAX_METADATA_BYTES: usize = 1 << 20;
/// Most bytes of what a provider added to a message.
const MAX_EXTRA_BYTES: usize = 4 << 20;

/// A piece of a session that is too long to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLong {
    /// Its metadata, of so many bytes.
    Metadata(usize),
    /// The `extra` of the entry at this index, of so many bytes.
    Extra(usize, usize),
}

impl TooLong {
    /// A word for programs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Metadata(_) => "metadata_too_large",
            Self::Extra(..) => "extra_too_large",
        }
    }

    /// A sentence for people, of the session that has it.
    pub(super) fn why(self, session: &[u8]) -> String {
        match self {
            Self::Metadata(bytes) => {
                format!("`metadata` has {bytes} bytes, and may have {MAX_METADATA_BYTES}")
            }
            Self::Extra(index, bytes) => {
                let entry = position_of(session, index);
                format!(
                    "`extra` of entry {entry} has {bytes} bytes, and may have {MAX_EXTRA_BYTES}"
                )
            }
        }
    }
}

/// What the entry at this index of a session's list says that its position is.
fn position_of(session: &[u8], index: usize) -> u64 {
    let session: Option<&RawValue> = serde_json::from_slice(session).ok();
    let entry = items(Members::of(session).get("entries")).get(index).copied();
    read(Members::of(entry).get("seq")).unwrap_or(index as u64 + 1)
}

/// The longest piece of a session, if that is too long. What cannot be read has none: whoever reads
/// it all finds out no later.
pub(super) fn too_long(session: &[u8]) -> Option<TooLong> {
    let metadata = longest(session, &[Step::Member("metadata")]);
    if MAX_METADATA_BYTES < metadata.bytes {
        return Some(TooLong::Metadata(metadata.bytes));
    }
    let path = [Step::Member("entries"), Step::Items, Step::Member("entry")];
    let path = [&path[..], &[Step::Member("message"), Step::Member("extra")]].concat();
    let extra = longest(session, &path);
    (MAX_EXTRA_BYTES < extra.bytes).then_some(TooLong::Extra(extra.item, extra.bytes))
}

/// A step from a value to values in it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// To its members of this name, all of them.
    Member(&'static str),
    /// To its items.
    Items,
}

/// The longest value of a path.
#[derive(Debug, Default)]
struct Longest {
    bytes: usize,
    /// In which item of the list on the path.
    item: usize,
    /// Which item is being looked at.
    current: usize,
}

fn longest(session: &[u8], path: &[Step]) -> Longest {
    let mut found = Longest::default();
    let mut reader = serde_json::Deserializer::from_slice(session);
    // What was found before a fault counts.
    drop(Walk { path, found: &mut found }.deserialize(&mut reader));
    found
}

struct Walk<'p, 'f> {
    path: &'p [Step],
    found: &'f mut Longest,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            Some(Step::Member(_)) => deserializer.deserialize_map(self),
            Some(Step::Items) => deserializer.deserialize_seq(self),
            None => {
                let bytes = <&RawValue>::deserialize(deserializer)?.get().len();
                if self.found.bytes < bytes {
                    (self.found.bytes, self.found.item) = (bytes, self.found.current);
                }
                Ok(())
            }
        }
    }
}

impl Walk<'_, '_> {
    fn further(&mut self) -> Walk<'_, '_> {
        Walk { path: self.path.get(1..).unwrap_or_default(), found: self.found }
    }

    fn is_on_path(&self, name: &str) -> bool {
        matches!(self.path.first(), Some(Step::Member(it)) if *it == name)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if self.is_on_path(&name) {
                map.next_value_seed(self.further())?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.found.current = 0;
        while list.next_element_seed(self.further())?.is_some() {
            self.found.current += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_EXTRA_BYTES, MAX_METADATA_BYTES, TooLong, too_long};

    fn entries(extras: &[&str]) -> String {
        let entry = |it: &&str| format!(r#"{{"seq":7,"entry":{{"message":{{"extra":{it}}}}}}}"#);
        let entries: Vec<_> = extras.iter().map(entry).collect();
        format!(r#"{{"id":"x","entries":[{}]}}"#, entries.join(","))
    }

    #[test]
    fn what_is_too_long_is_found_wherever_it_stands() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let long = text(MAX_METADATA_BYTES + 1);
        let found = Some(TooLong::Metadata(long.len()));
        assert_eq!(too_long(format!(r#"{{"metadata":{long}}}"#).as_bytes()), found);
        let twice = format!(r#"{{"metadat\u0061":{long},"a":[{{}}],"metadata":{{}}}}"#);
        assert_eq!(too_long(twice.as_bytes()), found);
        let broken = format!(r#"{{"metadata":{long},"entries":7}} x"#);
        assert_eq!(too_long(broken.as_bytes()), found);
        let fits = text(MAX_METADATA_BYTES);
        assert_eq!(too_long(format!(r#"{{"metadata":{fits}}}"#).as_bytes()), None);

        let (fits, long) = (text(MAX_EXTRA_BYTES), text(MAX_EXTRA_BYTES + 1));
        assert_eq!(too_long(entries(&["{}", &fits, "1"]).as_bytes()), None);
        let found = Some(TooLong::Extra(2, long.len()));
        assert_eq!(too_long(entries(&["{}", "null", &long, "1"]).as_bytes()), found);
    }

    #[test]
    fn what_is_no_session_has_nothing_too_long() {
        for text in ["", "7", "[]", "{", r#"{"entries":[7]}"#, r#"{"entries":{"entry":1}}"#] {
            assert_eq!(too_long(text.as_bytes()), None, "{text}");
        }
    }
}
