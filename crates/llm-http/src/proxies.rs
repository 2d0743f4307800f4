//! Which requests go through a proxy, as the usual variables say it.
//!
//! It reads no environment: the caller hands the pairs in.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// The proxies for requests, by the scheme of their address; none unless told.
///
/// `Debug` shows no credentials.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    matcher: Option<Arc<Matcher>>,
}

/// A proxy's address cannot be used. It is not shown, as it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not the address of an HTTP proxy; write it as http://proxy.example:3128")]
pub struct InvalidProxy {
    /// The variable that holds it.
    pub name: &'static str,
}

impl Proxies {
    /// The names that [`Proxies::from_pairs`] looks for; each counts in lower case too.
    pub const NAMES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

    /// The proxies that these variables name. Other names are not looked at, and an empty value is
    /// none; where a variable is there in both cases, the one in upper case counts.
    ///
    /// `HTTP_PROXY` and `HTTPS_PROXY` hold for addresses of that scheme, `ALL_PROXY` where they
    /// are missing. `NO_PROXY` lists hosts, domains and networks that are asked directly, or is
    /// `*`. This machine itself is always asked directly.
    ///
    /// ```
    /// let proxies = llm_http::Proxies::from_pairs([("https_proxy", "http://proxy.example:3128")]);
    /// assert!(proxies.is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidProxy`] when an address is not one, or of another kind than `http` and `https`.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, InvalidProxy> {
        let mut upper: [Option<String>; 4] = Default::default();
        let mut lower = upper.clone();
        for (name, value) in pairs {
            for ((known, upper), lower) in Self::NAMES.iter().zip(&mut upper).zip(&mut lower) {
                let value = || Some(value.as_ref().trim().to_owned());
                if name.as_ref() == *known {
                    *upper = value();
                } else if name.as_ref() == known.to_lowercase() {
                    *lower = value();
                }
            }
        }
        let mut values = upper.into_iter().zip(lower).map(|(upper, lower)| upper.or(lower));
        let mut next = || values.next().flatten().unwrap_or_default();
        let [http, https, all, no] = [next(), next(), next(), next()];
        for (value, name) in [&http, &https, &all].into_iter().zip(Self::NAMES) {
            check(name, value)?;
        }
        let matcher = Matcher::builder().http(http).https(https).all(all).no(no.to_lowercase());
        Ok(Self { matcher: Some(Arc::new(matcher.build())) })
    }

    /// The proxy for requests to `address`.
    pub(crate) fn for_address(&self, address: &Uri) -> Option<Intercept> {
        let host = address.host()?.trim_matches(['[', ']']);
        if is_this_machine(host) {
            return None;
        }
        self.matcher.as_ref()?.intercept(address)
    }
}

/// Whether the matcher, which skips what it cannot read, reads this.
fn check(name: &'static str, value: &str) -> Result<(), InvalidProxy> {
    let any = Uri::from_static("http://any.example");
    let found = Matcher::builder().all(value).build().intercept(&any);
    let scheme = found.as_ref().and_then(|it| it.uri().scheme_str());
    if value.is_empty() || matches!(scheme, Some("http" | "https")) {
        return Ok(());
    }
    Err(InvalidProxy { name })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|it: Ipv4Addr| it.is_loopback())
        || host.parse().is_ok_and(|it: Ipv6Addr| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{InvalidProxy, Proxies};

    const HTTP: (&str, &str) = ("HTTP_PROXY", "http://me:hunter2@plain.example:1");
    const HTTPS: (&str, &str) = ("https_proxy", "secure.example:2");
    const ALL: (&str, &str) = ("ALL_PROXY", "https://all.example");

    fn check(pairs: &[(&str, &str)], address: &str, expected: Option<&str>) {
        let proxies = Proxies::from_pairs(pairs.iter().copied()).unwrap();
        let found = proxies.for_address(&address.parse().unwrap());
        let found = found.map(|it| it.uri().to_string());
        assert_eq!(found.as_deref(), expected, "{pairs:?} {address}");
        assert!(!format!("{proxies:?}").contains("hunter2"));
    }

    #[test]
    fn the_scheme_decides_and_all_fills_the_gaps() {
        check(&[], "https://x.example", None);
        check(&[HTTP, HTTPS, ALL], "http://x.example/v1", Some("http://plain.example:1/"));
        check(&[HTTP, HTTPS, ALL], "https://x.example/v1", Some("http://secure.example:2/"));
        check(&[HTTP], "https://x.example", None);
        check(&[ALL], "http://x.example", Some("https://all.example/"));
        check(
            &[("PATH", "/bin"), ("HTTPS_PROXY", ""), ALL],
            "http://x.example",
            Some("https://all.example/"),
        );
        let both = [("all_proxy", "http://lower.example"), ALL];
        check(&both, "http://x.example", Some("https://all.example/"));
    }

    #[test]
    fn what_is_excluded_is_asked_directly() {
        let except = |no| [ALL, ("no_proxy", no)];
        check(&except("X.Example, y.example"), "http://x.example", None);
        check(&except(".example"), "http://x.example", None);
        check(&except("ample"), "http://x.example", Some("https://all.example/"));
        check(&except("10.0.0.0/8"), "http://10.1.2.3:8080", None);
        check(&except("fd00::/8"), "http://[fd00::1]", None);
        check(&except("*"), "https://x.example", None);
        for own in ["localhost", "a.localhost:1", "127.0.0.2:11434", "[::1]:1"] {
            check(&[ALL], &format!("http://{own}"), None);
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_name_alone() {
        for bad in
            ["socks5://me:hunter2@x:1", "ftp://hunter2", "http://", "x y hunter2", "/hunter2"]
        {
            let error = Proxies::from_pairs([("https_proxy", bad)]).unwrap_err();
            assert_eq!(error, InvalidProxy { name: "HTTPS_PROXY" }, "{bad}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
