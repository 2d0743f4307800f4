//! What a client's JSON must be beside well-formed: readable for everybody who is shown it.
//!
//! It walks a value and keeps nothing of it. Numbers are read as a common reader reads them, which
//! refuses those that no `f64` holds.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

/// Walks one value of at most so many levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strict {
    max: usize,
    left: usize,
}

impl Strict {
    pub(super) fn new(max: usize) -> Self {
        Self { max, left: max }
    }

    /// The walk of what lies within a list or an object.
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let too_deep = || E::custom(format!("the value nests deeper than {} levels", self.max));
        let left = self.left.checked_sub(1).ok_or_else(too_deep)?;
        Ok(Self { left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while items.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (deeper, mut names) = (self.deeper()?, BTreeSet::new());
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format!("an object has `{name}` twice")));
            }
            names.insert(name);
            members.next_value_seed(deeper)?;
        }
        Ok(())
    }
}
