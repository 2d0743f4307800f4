//! How a store is.

use serde::Serialize;

/// How the tiers of a store are that can acknowledge turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The one that acknowledges first.
    pub tiers: Vec<TierHealth>,
}

impl Health {
    /// A store of one tier that is well.
    #[must_use]
    pub fn of(tier: TierHealth) -> Self {
        Self { tiers: vec![tier] }
    }

    /// Whether a tier has a problem.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.tiers.iter().any(|it| it.problem.is_some())
    }
}

/// How one tier is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierHealth {
    /// `sqlite`, `redis` or `process`.
    pub name: &'static str,
    /// What is wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What an operator should know of it, such as how long it keeps what it acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TierHealth {
    /// A tier that is well.
    #[must_use]
    pub fn well(name: &'static str) -> Self {
        Self { name, problem: None, note: None }
    }
}
