//! The signals that end a process, as futures. What they end is the caller's business.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGTERM: whoever runs the process wants it to end.
    Terminate,
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
}

/// SIGTERM and SIGINT, from when it was made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both from now on; needs a runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
        }
    }
}
