//! Times and sizes as people write them; it knows no setting.

use std::time::Duration;

/// The longest time that makes sense; what is longer is a typing error.
const MAX_SECONDS: u64 = 3650 * 24 * 60 * 60;

/// Seconds, or a number with `s`, `m`, `h` or `d`; `None` for nonsense and for more than ten years.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let seconds = number(text, &units)?;
    (seconds <= MAX_SECONDS).then(|| Duration::from_secs(seconds))
}

/// Bytes, or a number with `KiB`, `MiB` or `GiB`; `None` for nonsense.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    number(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
}

fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let known = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let factor = if unit.is_empty() { 1 } else { known?.1 };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
