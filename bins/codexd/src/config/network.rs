//! How servers of models are reached, and how patiently. It connects to nothing.

use std::time::Duration;

#[cfg(feature = "http")]
use llm_http::{Network, Proxies, Roots};

use super::reader::Reader;

/// How patiently servers are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    /// How often a failed call is repeated.
    pub(crate) retries: u32,
    /// Most calls of one server at once.
    pub(crate) concurrency: usize,
}

impl Reader<'_> {
    pub(super) fn patience(&mut self) -> Patience {
        Patience {
            connect: self.timeout("MODEL_CONNECT_TIMEOUT", Duration::from_secs(10)),
            first_byte: self.timeout("MODEL_FIRST_BYTE_TIMEOUT", Duration::from_secs(300)),
            idle: self.timeout("MODEL_IDLE_TIMEOUT", Duration::from_secs(120)),
            retries: self.number("MODEL_RETRIES", 2, 0, 10) as u32,
            concurrency: self.number("MODEL_CONCURRENCY", 512, 1, 10_000),
        }
    }

    /// Proxies and certificate authorities; what is wrong is not shown: it may be a secret.
    #[cfg(feature = "http")]
    pub(super) fn network(&mut self) -> Network {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
        let lower = names.map(str::to_lowercase);
        let names = names.into_iter().chain(lower.iter().map(String::as_str));
        let pairs = names.filter_map(|it| Some((it, self.settings.get(it)?)));
        let proxies = Proxies::from_pairs(pairs).unwrap_or_else(|problem| {
            self.wrong(format!("{}: {problem}", problem.name));
            Proxies::default()
        });
        let roots = match self.settings.get("EXTRA_CA_CERTS") {
            Some(path) => Roots::from_file(std::path::Path::new(path)).unwrap_or_else(|problem| {
                self.wrong(format!("EXTRA_CA_CERTS: {problem}"));
                Roots::default()
            }),
            None => Roots::default(),
        };
        Network { proxies, roots, ..Network::default() }
    }
}
