//! Conformance suites and fakes for the ports of brain-core; a dev-dependency only.
