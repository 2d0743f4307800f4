//! How many retries all requests of a gateway together may have.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What one retry costs.
const RETRY: u64 = 100;

/// How many retries all requests of a gateway together may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Retries that can be saved up; there at the beginning.
    pub saved: u32,
    /// Retries that a hundred requests earn.
    pub per_hundred: u32,
    /// How long it takes to earn one without any request; not zero.
    pub every: Duration,
}

impl Default for BudgetSettings {
    /// 10 saved, 20 for a hundred requests, one every 10 s.
    fn default() -> Self {
        Self { saved: 10, per_hundred: 20, every: Duration::from_secs(10) }
    }
}

/// Retries that are left, in hundredths.
#[derive(Debug)]
pub(super) struct Budget {
    settings: BudgetSettings,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    balance: u64,
    /// Until when time has been paid for.
    paid: Instant,
}

impl Budget {
    pub(super) fn new(settings: BudgetSettings) -> Self {
        let balance = u64::from(settings.saved) * RETRY;
        Self { settings, account: Mutex::new(Account { balance, paid: Instant::now() }) }
    }

    /// A request comes.
    pub(super) fn earn(&self) {
        let earned = u64::from(self.settings.per_hundred);
        self.change(|account| account.balance = account.balance.saturating_add(earned));
    }

    /// Takes a retry, if there is one left.
    pub(super) fn spend(&self) -> bool {
        self.change(|account| {
            let rest = account.balance.checked_sub(RETRY);
            account.balance = rest.unwrap_or(account.balance);
            rest.is_some()
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        let BudgetSettings { saved, every, .. } = self.settings;
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (since, every) = ((now - account.paid).as_nanos(), every.as_nanos().max(1));
        let earned = since / every;
        if 0 < earned {
            let earned = u64::try_from(earned).unwrap_or(u64::MAX).saturating_mul(RETRY);
            account.balance = account.balance.saturating_add(earned);
            // The interval that has begun counts on.
            let begun = u64::try_from(since % every).unwrap_or(0);
            account.paid = now - Duration::from_nanos(begun);
        }
        account.balance = account.balance.min(u64::from(saved) * RETRY);
        change(&mut account)
    }
}
