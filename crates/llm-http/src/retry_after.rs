//! How long a server asks to be left alone.
//!
//! It reads headers only and knows no clock: a date is measured against the response's own date.

use std::time::Duration;

use http::{HeaderMap, header};

/// The hint of `retry-after-ms`, else of `Retry-After`: seconds, fractions allowed, or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|it| it.parse::<f64>().ok());
    let millis = millis.and_then(|it| Duration::try_from_secs_f64(it / 1000.0).ok());
    if millis.is_some() {
        return millis;
    }
    let hint = text(header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = hint.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (now, then) = (date(text(header::DATE.as_str())?)?, date(hint)?);
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

fn date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::retry_after;

    fn check(headers: &[(&'static str, &'static str)], expected_millis: Option<u64>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(
            retry_after(&headers),
            expected_millis.map(Duration::from_millis),
            "{headers:?}"
        );
    }

    #[test]
    fn every_form_is_read() {
        check(&[], None);
        check(&[("retry-after", "2")], Some(2_000));
        check(&[("retry-after", " 1.5 ")], Some(1_500));
        check(&[("retry-after-ms", "250.0"), ("retry-after", "9")], Some(250));
        check(&[("retry-after-ms", "-1"), ("retry-after", "9")], Some(9_000));
        check(&[("retry-after-ms", "soon"), ("retry-after", "9")], Some(9_000));
        let date = ("date", "Sun, 22 Nov 2026 06:00:00 GMT");
        check(&[date, ("retry-after", "Sun, 22 Nov 2026 06:01:00 GMT")], Some(60_000));
        check(&[date, ("retry-after", "Sun, 22 Nov 2026 05:00:00 GMT")], Some(0));
        check(&[("retry-after", "Sun, 22 Nov 2026 06:01:00 GMT")], None);
        for nonsense in ["soon", "-1", "NaN", "inf", "1e300", ""] {
            check(&[("retry-after", nonsense)], None);
        }
    }
}
