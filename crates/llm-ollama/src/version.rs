//! What a server knows, by its version; pure.

/// The version of a server, without what follows its three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    /// What somebody built who gave it no number; taken for the newest.
    const UNRELEASED: Self = Self(0, 0, 0);

    /// `0.12.6` or `0.12.6-rc1`; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers = text.trim().trim_start_matches('v').split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self(next()?, next()?, next()?))
    }

    /// Whether `truncate` and `shift` are fields of chats.
    pub(crate) fn knows_truncate(self) -> bool {
        self.is_from(Self(0, 12, 6))
    }

    /// Whether `think` may be a level.
    pub(crate) fn knows_levels(self) -> bool {
        self.is_from(Self(0, 11, 1))
    }

    /// Whether `max` is one of them.
    pub(crate) fn knows_max(self) -> bool {
        self.is_from(Self(0, 21, 3))
    }

    /// Whether `prompt_eval_count` has what the server found in its cache as well. Old servers leave
    /// it out, and so does 0.30.0.
    pub(crate) fn counts_cached(self) -> bool {
        self.is_from(Self(0, 2, 0)) && self != Self(0, 30, 0)
    }

    fn is_from(self, first: Self) -> bool {
        first <= self || self == Self::UNRELEASED
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    /// `knows` is of `truncate`, levels, `max` and counts with the cache.
    fn check(text: &str, knows: [bool; 4]) {
        let it = Version::parse(text).unwrap();
        let found = [it.knows_truncate(), it.knows_levels(), it.knows_max(), it.counts_cached()];
        assert_eq!(found, knows, "{text}");
    }

    #[test]
    fn what_a_version_knows() {
        check("0.1.47", [false, false, false, false]);
        check("0.6.4", [false, false, false, true]);
        check("0.12.5", [false, true, false, true]);
        check("0.12.6-rc0", [true, true, false, true]);
        check("0.30.0", [true, true, true, false]);
        check("v0.33.0+local", [true; 4]);
        check("1.0.0", [true; 4]);
        check("0.0.0", [true; 4]);
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "0.12", "latest", "a.b.c", "1.2.x", "99999999999.0.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
