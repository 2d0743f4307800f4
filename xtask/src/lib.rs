//! Automation and the workspace's own rules, as tests.
