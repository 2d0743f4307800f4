//! By which names the service answers.
//!
//! Without keys, whoever reaches the service may use it, and a page in a browser on the same
//! machine reaches it: by a name that an attacker points at 127.0.0.1, or by posting across
//! origins. So a request must name a host of ours, and a page that sends one must come from such a
//! host. This is no authentication.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use http::{
    HeaderMap, StatusCode,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::error::ApiError;

/// The address of ours that a request was sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalAddress(pub(crate) SocketAddr);

/// Refuses a request that comes by another name than ours, or from a page of another host.
pub(super) fn check(allowed: &[String], request: &Request) -> Result<(), ApiError> {
    let local = request.extensions().get::<LocalAddress>().map(|it| it.0.ip());
    let is_ours = |host: &str| is_ours(host, allowed, local);
    let hosts = named_hosts(request)?;
    if !hosts.iter().all(|host| is_ours(host)) {
        let detail = "the request names a host that is not allowed; ask for localhost, or add the \
                      host to ALLOWED_HOSTS";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", detail));
    }
    match origin_host(request.headers()) {
        None => Ok(()),
        Some(Some(host)) if is_ours(&host) => Ok(()),
        Some(_) => {
            let detail = "the request comes from a page of another host; add that host to \
                          ALLOWED_HOSTS if it may use this service";
            Err(ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail))
        }
    }
}

/// The hosts that the request's target and its `Host` header name; at least one.
fn named_hosts(request: &Request) -> Result<Vec<String>, ApiError> {
    let target = request.uri().authority().map(|it| it.host().to_owned());
    let headers = request.headers().get_all(HOST).iter();
    let headers = headers.map(|it| {
        let authority = Authority::try_from(it.as_bytes());
        authority.map(|it| it.host().to_owned()).map_err(|_| bad_host())
    });
    let hosts = target.into_iter().map(Ok).chain(headers).collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() || 1 < request.headers().get_all(HOST).iter().count() {
        return Err(bad_host());
    }
    Ok(hosts)
}

fn bad_host() -> ApiError {
    ApiError::invalid("the request must have exactly one Host header, such as `localhost:8080`")
}

/// The host of the page that sent the request: `None` if no page did, `Some(None)` if it has none.
fn origin_host(headers: &HeaderMap) -> Option<Option<String>> {
    let origin = headers.get(ORIGIN)?;
    let authority = origin.to_str().ok().and_then(|it| it.split_once("://")).map(|(_, it)| it);
    Some(authority.and_then(|it| it.parse::<Authority>().ok()).map(|it| it.host().to_owned()))
}

fn is_ours(host: &str, allowed: &[String], local: Option<IpAddr>) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>()
        && (ip.is_loopback() || local.is_some_and(|it| it.to_canonical() == ip.to_canonical()))
    {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let listed = |it: &String| it == "*" || it.eq_ignore_ascii_case(name) || it == bare;
    name.eq_ignore_ascii_case("localhost") || allowed.iter().any(listed)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::is_ours;

    #[test]
    fn loopback_the_listed_and_the_own_address_are_ours() {
        let allowed = ["brain.example".to_owned()];
        let local = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)));
        let good = ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]", "Brain.Example"];
        for host in good.into_iter().chain(["brain.example.", "10.0.0.7"]) {
            assert!(is_ours(host, &allowed, local), "{host}");
        }
        let bad =
            ["evil.example", "localhost.evil.example", "10.0.0.8", "", "127.0.0.1.evil.example"];
        for host in bad {
            assert!(!is_ours(host, &allowed, local), "{host}");
        }
        assert!(is_ours("anything", &["*".to_owned()], None));
    }
}
