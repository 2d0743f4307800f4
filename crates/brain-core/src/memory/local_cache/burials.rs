//! Which sessions were forgotten lately, so that no late copy of one comes back.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{ids::SessionKey, time::Timestamp};

/// How long a burial is remembered.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most burials that are remembered one by one.
const MOST: usize = 100_000;

/// The burials of a day.
#[derive(Default)]
pub(super) struct Burials {
    times: HashMap<SessionKey, Timestamp>,
    /// In the order of burial; of a session that was buried again the last one counts.
    order: VecDeque<(Timestamp, SessionKey)>,
    /// Burials up to here are no longer known by name: nothing made until then is let in.
    floor: Option<Timestamp>,
}

impl Burials {
    pub(super) fn add(&mut self, key: SessionKey, now: Timestamp) {
        self.expire(now);
        if self.order.len() == MOST
            && let Some((at, key)) = self.order.pop_front()
        {
            self.floor = self.floor.max(Some(at));
            self.drop_if_last(&key, at);
        }
        self.times.insert(key.clone(), now);
        self.order.push_back((now, key));
    }

    /// Whether a session that was made then may have been buried since.
    pub(super) fn covers(&mut self, key: &SessionKey, made: Timestamp, now: Timestamp) -> bool {
        self.expire(now);
        self.floor.max(self.times.get(key).copied()).is_some_and(|buried| made <= buried)
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.order.pop_front_if(|(at, _)| LIFE <= now.since(*at)) {
            self.drop_if_last(&key, at);
        }
        self.floor = self.floor.filter(|at| now.since(*at) < LIFE);
    }

    fn drop_if_last(&mut self, key: &SessionKey, at: Timestamp) {
        if self.times.get(key) == Some(&at) {
            self.times.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Burials, LIFE, MOST};
    use crate::{
        ids::{Owner, SessionId, SessionKey},
        time::Timestamp,
    };

    fn key(id: usize) -> SessionKey {
        SessionKey::new(Owner::local(), SessionId::new(id.to_string()).unwrap())
    }

    #[test]
    fn a_burial_lasts_a_day_and_spares_what_is_made_later() {
        let mut burials = Burials::default();
        let at = Timestamp::from_millis(1_000);
        burials.add(key(1), at);
        assert!(burials.covers(&key(1), at, at));
        assert!(!burials.covers(&key(2), at, at));
        assert!(!burials.covers(&key(1), Timestamp::from_millis(1_001), at));
        let later = at.plus(LIFE / 2);
        burials.add(key(1), later);
        assert!(burials.covers(&key(1), later, at.plus(LIFE)));
        assert!(!burials.covers(&key(1), at, later.plus(LIFE)));
        assert!(burials.times.is_empty());
    }

    #[test]
    fn too_many_burials_shut_out_more_and_never_less() {
        let mut burials = Burials::default();
        for it in 0..=MOST {
            burials.add(key(it), Timestamp::from_millis(1_000));
        }
        let (made, now) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        assert!(burials.covers(&key(0), made, now));
        assert!(burials.covers(&key(MOST + 1), made, now));
        assert!(!burials.covers(&key(0), now, now));
        assert_eq!(burials.times.len(), MOST);
    }
}
