//! Many cases on one server: each has the keys that begin with a prefix of its own.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use super::wire::Reply;

/// What the keys of one case begin with, before a colon.
#[derive(Clone, Debug)]
pub struct Prefix(String);

impl Prefix {
    /// One that nobody else in this process has.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no two of them are equal")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Whether one of the texts is in any key or value of this case; `contents` are those of
    /// [`Client::contents`](super::Client::contents), of all servers that it uses.
    pub fn holds(
        &self,
        contents: impl IntoIterator<Item = (Vec<u8>, Reply)>,
        texts: &[&str],
    ) -> bool {
        let prefix = format!("{self}:").into_bytes();
        let own = contents.into_iter().filter(|(key, _)| key.starts_with(&prefix));
        let mut places = own.flat_map(|(key, value)| match value {
            Reply::Bytes(value) => [key, value],
            Reply::Nil => [key, Vec::new()], // it has expired meanwhile
            other => panic!("{other:?} is not what a key holds"),
        });
        let has = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        places.any(|bytes| texts.iter().any(|text| has(&bytes, text)))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
