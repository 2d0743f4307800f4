//! Reading other programs' JSON: what is not as expected is as if it were not there.
//!
//! Nothing is copied before it is wanted: a value stays a piece of the text until it is read. Our
//! own format is not read like this; what is wrong there is an error.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::note::{Note, Notes};
use crate::time::Timestamp;

/// Most members of an object, and so most nodes of a tree: they take more memory than their text.
pub(super) const MAX_MEMBERS: usize = 200_000;

/// A value that is still text.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// The value as a `T`, if it is one.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The value as a `T`, or what a `T` is without one.
pub(super) fn read_or_default<'a, T: Deserialize<'a> + Default>(raw: Raw<'a>) -> T {
    read(raw).unwrap_or_default()
}

/// An id, borrowed where it has no escapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Id<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

pub(super) fn id<'a>(raw: Raw<'a>) -> Option<Cow<'a, str>> {
    read::<Id<'a>>(raw).map(|id| id.0)
}

/// The ids of a list.
pub(super) fn ids<'a>(raw: Raw<'a>) -> impl Iterator<Item = Cow<'a, str>> {
    items(raw).into_iter().filter_map(|item| id(Some(item)))
}

/// A list or an object has more than [`MAX_MEMBERS`].
#[derive(Debug)]
pub(super) struct TooMany;

/// The items of a list; none if it is no list, or one of more than 200,000.
pub(super) fn items<'a>(raw: Raw<'a>) -> Vec<&'a RawValue> {
    all_items(raw).unwrap_or_default()
}

/// The items of a list; none if it is no list.
pub(super) fn all_items<'a>(raw: Raw<'a>) -> Result<Vec<&'a RawValue>, TooMany> {
    read::<Items<'a>>(raw).map_or(Ok(Vec::new()), |it| it.0.ok_or(TooMany))
}

/// Text; halves of surrogate pairs in it become U+FFFD.
pub(super) fn text(raw: Raw<'_>, notes: &mut Notes) -> Option<String> {
    let json = raw?.get();
    if let Ok(text) = serde_json::from_str(json) {
        return Some(text);
    }
    let (mended, halves) = without_lone_surrogates(json);
    let text = serde_json::from_str(&mended).ok()?;
    notes.add_many(Note::Surrogate, halves);
    Some(text)
}

/// The JSON text with each escaped half of a pair as `\ufffd`, and how many there were.
fn without_lone_surrogates(json: &str) -> (String, u64) {
    let (mut mended, mut halves) = (String::with_capacity(json.len()), 0);
    let mut rest = json;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        mended.push_str(before);
        let low = escape.get(6..).and_then(half);
        let (kept, length) = match (half(escape), low) {
            (Some(Half::High), Some(Half::Low)) => (true, 12),
            (Some(_), _) => (false, 6),
            // The backslash and what it escapes, so that `\\ud800` is not taken for half a pair.
            (None, _) => (true, escape.chars().take(2).map(char::len_utf8).sum()),
        };
        let (escape, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        mended.push_str(if kept { escape } else { "\\ufffd" });
        halves += u64::from(!kept);
        rest = after;
    }
    mended.push_str(rest);
    (mended, halves)
}

#[derive(Clone, Copy)]
enum Half {
    High,
    Low,
}

/// Which half of a pair the escape at the beginning of `text` is, if any.
fn half(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

/// A time since 1970 in seconds, or in thousandths, millionths or billionths of one, whichever
/// makes it a time of this age.
pub(super) fn time(raw: Raw<'_>) -> Option<Timestamp> {
    let number: f64 = read(raw)?;
    let units = [(1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (f64::INFINITY, 1e-6)];
    let factor = units.iter().find(|(limit, _)| number.abs() < *limit)?.1;
    // Seconds of 2026 with three decimals are exact to far less than a millisecond.
    #[expect(clippy::cast_possible_truncation, reason = "a float beyond i64 becomes its end")]
    let millis = (number * factor).round() as i64;
    (0 < millis).then(|| Timestamp::from_millis(millis))
}

/// The members of an object in the order of the text, equal names and all.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(Vec<(Id<'a>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The members of an object; none if it is no object, or one of more than 200,000.
    pub(super) fn of(raw: Raw<'a>) -> Self {
        Self::all_of(raw).unwrap_or_default()
    }

    /// The members of an object; none if it is no object.
    pub(super) fn all_of(raw: Raw<'a>) -> Result<Self, TooMany> {
        let object: Option<Object<'a>> = read(raw);
        object.map_or(Ok(Self::default()), |it| it.0.map(Self).ok_or(TooMany))
    }

    /// The first member of this name, unless it is `null`.
    pub(super) fn get(&self, name: &str) -> Raw<'a> {
        let found = self.0.iter().find(|(it, _)| it.0 == name);
        found.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    pub(super) fn into_pairs(self) -> impl ExactSizeIterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter().map(|(name, value)| (name.0, value))
    }
}

/// `None` if there are too many.
struct Object<'a>(Option<Vec<(Id<'a>, &'a RawValue)>>);

/// `None` if there are too many.
struct Items<'a>(Option<Vec<&'a RawValue>>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Bounded::<(Id<'a>, &'a RawValue)>(PhantomData)).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded::<&'a RawValue>(PhantomData)).map(Self)
    }
}

/// Reads a list or an object, and keeps no more of it than [`MAX_MEMBERS`].
struct Bounded<T>(PhantomData<T>);

impl<T> Bounded<T> {
    fn collect<E>(mut next: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<Vec<T>>, E> {
        let (mut all, mut fits) = (Vec::new(), true);
        while let Some(it) = next()? {
            fits = all.len() < MAX_MEMBERS;
            if fits {
                all.push(it);
            }
        }
        Ok(fits.then_some(all))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Bounded<(Id<'a>, &'a RawValue)> {
    type Value = Option<Vec<(Id<'a>, &'a RawValue)>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        Self::collect(|| map.next_entry())
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Bounded<&'a RawValue> {
    type Value = Option<Vec<&'a RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        Self::collect(|| list.next_element())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{Members, Notes, items, text, time};
    use crate::memory::portable::note::Note;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn halves_of_pairs_are_replaced_and_counted() {
        let check = |json: &str, expected: Option<&str>, halves| {
            let mut notes = Notes::default();
            assert_eq!(text(Some(raw(json)), &mut notes).as_deref(), expected, "{json}");
            let mut counted = Notes::default();
            counted.add_many(Note::Surrogate, halves);
            assert_eq!(notes, counted, "{json}");
        };
        check(r#""a\u0000\ud83e\udd8a""#, Some("a\0\u{1F98A}"), 0);
        check(r#""a\ud83e""#, Some("a\u{FFFD}"), 1);
        check(r#""\udd8a\ud83e\uD83E\uDD8A\\ud800""#, Some("\u{FFFD}\u{FFFD}\u{1F98A}\\ud800"), 2);
        check("7", None, 0);
    }

    #[test]
    fn times_come_in_any_unit() {
        let check = |json: &str, expected: Option<&str>| {
            let time = time(Some(raw(json))).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{json}");
        };
        check("1762989084.391352", Some("2025-11-12T23:11:24.391Z"));
        check("1762989084391", Some("2025-11-12T23:11:24.391Z"));
        check("1762989084391352", Some("2025-11-12T23:11:24.391Z"));
        check("1762989084391352000", Some("2025-11-12T23:11:24.391Z"));
        for nonsense in ["null", "0", "-5", "1e400", "\"now\"", "[]"] {
            check(nonsense, None);
        }
        assert!(time(Some(raw("1e300"))).is_some());
    }

    #[test]
    fn members_keep_their_order_and_their_doubles() {
        let members = Members::of(Some(raw(r#"{"b":1,"a":[2],"b":{}}"#)));
        assert_eq!(members.get("b").map(RawValue::get), Some("1"));
        let pairs: Vec<_> = members.into_pairs().map(|(name, it)| (name, it.get())).collect();
        assert_eq!(pairs, [("b".into(), "1"), ("a".into(), "[2]"), ("b".into(), "{}")]);
        assert_eq!(Members::of(Some(raw("[1]"))).into_pairs().len(), 0);
        assert_eq!(items(Some(raw("[1, null]"))).len(), 2);
        let of = |count: usize| format!("{{{}\"\":0}}", "\"\":0,".repeat(count - 1));
        let many = of(200_001);
        assert_eq!(Members::of(Some(raw(&many))).into_pairs().len(), 0);
        assert!(Members::all_of(Some(raw(&many))).is_err());
        assert_eq!(Members::of(Some(raw(&of(200_000)))).into_pairs().len(), 200_000);
    }
}
