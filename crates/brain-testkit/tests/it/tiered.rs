//! Two tiers as one store: the whole suite, whatever the hot tier does, and what is theirs alone.

mod adopt;
mod chaos;
mod checked;
mod copies;
mod ephemeral;
mod faults;
mod fixture;
mod forget;
mod suites;
