//! Ctrl-C while an answer comes: the running turn is cancelled, the program goes on. SIGTERM cancels
//! it too, and then the program ends.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use brain_tokio::Signals;
use http_client::Client;
use tokio::runtime::Builder;

use crate::exit;

/// What Ctrl-C means at the moment.
#[derive(Debug, Default)]
enum State {
    /// No answer is on its way.
    #[default]
    Idle,
    /// An answer was asked for; its turn is not known yet.
    Asked,
    /// This turn answers.
    Runs(String),
    /// Ctrl-C came.
    Pressed,
}

/// Watches for Ctrl-C; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    state: Arc<Mutex<State>>,
    leaves: Arc<AtomicBool>,
}

impl Interrupt {
    /// Watches from now on, and cancels turns through `client`.
    pub(crate) fn watch(client: Client) -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let watcher = interrupt.clone();
        let runtime = Builder::new_current_thread().enable_io().build()?;
        // Here and not in the thread: the line editor puts back what it finds when it begins.
        let mut signals = runtime.block_on(async { Signals::new() })?;
        let work = move || loop {
            let terminate = runtime.block_on(signals.next());
            watcher.leaves.fetch_or(terminate, Ordering::Relaxed);
            watcher.press(&client);
        };
        thread::Builder::new().name("ctrl-c".to_owned()).spawn(work)?;
        Ok(interrupt)
    }

    /// An answer is asked for.
    pub(crate) fn asked(&self) {
        *self.state() = State::Asked;
    }

    /// This turn answers; cancels it if that was wanted before it was known.
    pub(crate) fn runs(&self, turn: &str, client: &Client) {
        let mut state = self.state();
        if matches!(*state, State::Pressed) {
            drop(state);
            client.cancel(turn);
        } else {
            *state = State::Runs(turn.to_owned());
        }
    }

    /// The answer has ended; whether Ctrl-C came meanwhile.
    pub(crate) fn ended(&self) -> bool {
        matches!(std::mem::take(&mut *self.state()), State::Pressed)
    }

    /// Whether SIGTERM came: nothing more is to be asked.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }

    fn press(&self, client: &Client) {
        let before = std::mem::replace(&mut *self.state(), State::Pressed);
        match before {
            State::Runs(turn) => client.cancel(&turn),
            State::Asked => {}
            State::Idle | State::Pressed => {
                #[expect(clippy::disallowed_methods, reason = "the main thread may hang")]
                std::process::exit(exit::INTERRUPTED.into());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
