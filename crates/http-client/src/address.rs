//! Addresses as people may see them. It fetches nothing.

use url::Url;

/// Whether `source` is an address, and not a path.
#[must_use]
pub fn is_address(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// An address without what may be secret in it: user, password, query and fragment. A path stays as
/// it is.
#[must_use]
pub fn shown(source: &str) -> String {
    if !is_address(source) {
        return source.to_owned();
    }
    match Url::parse(source) {
        Ok(url) => shown_url(url),
        Err(_) => "what is no address".to_owned(),
    }
}

/// The same of a URL.
pub(crate) fn shown_url(mut url: Url) -> String {
    // What can have no user has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
