//! What is a time or a size, and what is not.

use std::time::Duration;

use super::{bytes, duration};

#[test]
fn times_have_units() {
    for (text, seconds) in
        [("0", 0), ("90", 90), ("5s", 5), ("2 m", 120), ("1h", 3600), ("7D", 604_800)]
    {
        assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
    }
    for nonsense in ["", "h", "-1", "1.5h", "1w", "1h30m", "4000d", "18446744073709551616"] {
        assert_eq!(duration(nonsense), None, "{nonsense}");
    }
}

#[test]
fn sizes_have_units() {
    for (text, size) in [("1024", 1024), ("2KiB", 2048), ("1 mib", 1 << 20), ("4GiB", 4 << 30)] {
        assert_eq!(bytes(text), Some(size), "{text}");
    }
    for nonsense in ["", "MiB", "-1", "1MB", "1e9", "99999999999GiB"] {
        assert_eq!(bytes(nonsense), None, "{nonsense}");
    }
}
