//! Where the parts of the API are on one server; pure.
//!
//! People paste addresses with and without the version, and with all of a portal's path: what is
//! too much is cut off here.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::Server;

/// What may not stand in one segment of a path, or in the value of a query.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The versions of Azure that mean its v1 surface.
const AZURE_V1: &[&str] = &["", "v1"];

/// The paths of one server, below its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes {
    /// Stands before each path of the API, such as `/v1`.
    prefix: String,
    /// Whether the model stands in the path, as Azure's deployments do.
    deployments: bool,
    /// `?api-version=…`, or nothing.
    query: String,
}

impl Routes {
    /// The root of `server` at `base_url`, and the paths there.
    pub(crate) fn of(server: &Server, base_url: &str) -> (String, Self) {
        let base = base_url.trim().trim_end_matches('/');
        match server {
            Server::Azure { api_version, .. } => Self::azure(base, api_version.as_deref()),
            Server::TabbyMl => {
                let root = base.strip_suffix("/v1").or_else(|| base.strip_suffix("/v1beta"));
                (root.unwrap_or(base).to_owned(), Self::below("/v1"))
            }
            Server::OpenAi | Server::Compatible => match base.strip_suffix("/v1") {
                Some(root) => (root.to_owned(), Self::below("/v1")),
                None => (base.to_owned(), Self::below("")),
            },
        }
    }

    fn below(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), deployments: false, query: String::new() }
    }

    fn azure(base: &str, api_version: Option<&str>) -> (String, Self) {
        // A query stays where it is: the endpoint refuses it, and says so.
        let end = base.find("/openai").filter(|_| !base.contains(['?', '#']));
        let root = base.get(..end.unwrap_or(base.len())).unwrap_or(base).to_owned();
        let version = api_version.map(str::trim).filter(|it| !AZURE_V1.contains(it));
        let query = version.map_or_else(String::new, |version| {
            format!("?api-version={}", utf8_percent_encode(version, RESERVED))
        });
        let deployments = version.is_some_and(|it| it != "preview");
        let prefix = if deployments { "/openai" } else { "/openai/v1" };
        (root, Self { prefix: prefix.to_owned(), deployments, query })
    }

    /// The path of what is asked of a model, such as `/chat/completions`.
    pub(crate) fn of_model(&self, model: &str, what: &str) -> String {
        let Self { prefix, query, .. } = self;
        if self.deployments {
            let deployment = utf8_percent_encode(model, RESERVED);
            return format!("{prefix}/deployments/{deployment}{what}{query}");
        }
        format!("{prefix}{what}{query}")
    }

    /// The path of the list of models.
    pub(crate) fn models(&self) -> String {
        format!("{}/models{}", self.prefix, self.query)
    }
}

#[cfg(test)]
mod tests {
    use super::Routes;
    use crate::config::Server;

    fn check(server: &Server, base: &str, expected: [&str; 3]) {
        let (root, routes) = Routes::of(server, base);
        let chat = routes.of_model("a b", "/chat/completions");
        assert_eq!([root, chat, routes.models()], expected, "{base}");
    }

    #[test]
    fn the_version_may_be_part_of_the_base() {
        let plain = ["http://x:1", "/v1/chat/completions", "/v1/models"];
        check(&Server::Compatible, " http://x:1/v1/ ", plain);
        check(&Server::TabbyMl, "http://x:1", plain);
        check(&Server::TabbyMl, "http://x:1/v1beta/", plain);
        let bare = ["http://x:1/api/v3", "/chat/completions", "/models"];
        check(&Server::Compatible, "http://x:1/api/v3", bare);
    }

    #[test]
    fn azure_has_two_surfaces() {
        let root = "https://n.openai.azure.com";
        let azure = |version: Option<&str>| Server::Azure {
            deployment: String::new(),
            api_version: version.map(str::to_owned),
        };
        let v1 = [root, "/openai/v1/chat/completions", "/openai/v1/models"];
        for base in ["", "/", "/openai", "/openai/v1/", "/openai/deployments/d/chat/completions"] {
            check(&azure(None), &format!("{root}{base}"), v1);
            check(&azure(Some("v1")), &format!("{root}{base}"), v1);
        }
        let dated = [
            root,
            "/openai/deployments/a%20b/chat/completions?api-version=2024-10-21",
            "/openai/models?api-version=2024-10-21",
        ];
        check(&azure(Some("2024-10-21")), root, dated);
        let preview = [
            root,
            "/openai/v1/chat/completions?api-version=preview",
            "/openai/v1/models?api-version=preview",
        ];
        check(&azure(Some("preview")), root, preview);
        let (root, _) = Routes::of(&azure(None), "https://n/openai/deployments/d?api-version=1");
        assert!(root.contains('?'), "a query is not cut off in silence");
    }
}
