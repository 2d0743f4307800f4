//! Time as a port: what hour it is, how long something took, and waiting.
//!
//! `brain-tokio` has the real clock; tests own theirs. Nothing in this crate reads the system's
//! clock by itself, and no order of messages ever comes from one.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Milliseconds since 1970-01-01 UTC; RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a time such as 2026-11-22T06:00:00Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// A time by its milliseconds since 1970; clamped to the years -9999 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let (min, max) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
        Self(millis.clamp(min.as_second() * 1000 + 1, max.as_second() * 1000))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 time; what is finer than a millisecond is dropped.
    ///
    /// # Errors
    ///
    /// When `text` is not such a time.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp(text.to_owned()))?;
        Ok(Self::from_millis(time.as_millisecond()))
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// The time, and waiting.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// What hour it is; may jump, so it never orders anything.
    fn now(&self) -> Timestamp;

    /// Time since a moment in the past that does not change; never jumps.
    fn elapsed(&self) -> Duration;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn text_round_trips_and_extremes_do_not_panic() {
        let time = Timestamp::parse("2026-11-22T06:00:00.1239Z").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T06:00:00.123Z");
        assert_eq!(Timestamp::parse(&time.to_string()).unwrap(), time);
        for extreme in [i64::MIN, i64::MAX] {
            let time = Timestamp::from_millis(extreme);
            assert_eq!(Timestamp::parse(&time.to_string()).unwrap(), time);
        }
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
