//! Ctrl-C while something runs that can be stopped: that is stopped, the process goes on. SIGTERM
//! stops it too, and then the process is to end.
//!
//! It knows nothing of what runs but its name.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::runtime::Builder;

use crate::{EndSignal, Signals};

/// What Ctrl-C means at the moment.
#[derive(Debug, Default)]
enum State {
    /// Nothing runs.
    #[default]
    Idle,
    /// Something was asked for; its name is not known yet.
    Asked,
    /// This runs.
    Runs(String),
    /// Ctrl-C came.
    Pressed,
}

/// Watches for Ctrl-C in a thread of its own; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
    leaves: Arc<AtomicBool>,
}

impl Interrupt {
    /// Watches from now on: `stop` is given the name of what runs, and `leave` ends the process
    /// where nothing does, or where it did not stop.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched, or there is no thread for it.
    pub fn watch(
        stop: impl Fn(&str) + Send + 'static,
        leave: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let interrupt = Self::default();
        let watcher = interrupt.clone();
        let runtime = Builder::new_current_thread().enable_io().build()?;
        // Here and not in the thread: a line editor puts back what it finds when it begins.
        let mut signals = runtime.block_on(async { Signals::new() })?;
        let work = move || loop {
            match runtime.block_on(signals.next()) {
                EndSignal::Terminate => watcher.leaves.store(true, Ordering::Relaxed),
                EndSignal::Interrupt => {}
            }
            watcher.press(&stop, &leave);
        };
        thread::Builder::new().name("ctrl-c".to_owned()).spawn(work)?;
        Ok(interrupt)
    }

    /// Something is asked for.
    pub fn asked(&self) {
        *self.state() = State::Asked;
    }

    /// This runs now. Returns whether Ctrl-C came before its name was known: then it is to be
    /// stopped by whoever learnt the name.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        let mut state = self.state();
        let is_pressed = matches!(*state, State::Pressed);
        if !is_pressed {
            *state = State::Runs(name.to_owned());
        }
        is_pressed
    }

    /// What ran has ended; returns whether Ctrl-C came meanwhile.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(std::mem::take(&mut *self.state()), State::Pressed)
    }

    /// Whether SIGTERM came: nothing more is to be asked for.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }

    fn press(&self, stop: &impl Fn(&str), leave: &impl Fn()) {
        let before = std::mem::replace(&mut *self.state(), State::Pressed);
        match before {
            State::Runs(name) => stop(&name),
            State::Asked => {}
            State::Idle | State::Pressed => leave(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
