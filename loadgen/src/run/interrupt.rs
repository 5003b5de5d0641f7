//! SIGINT and SIGTERM: the first ends the run in order, the second at once. Keys of the live view do the same.

use std::io::{self, Write};
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::drive::control::Control;
use crate::judge::verdict;
use crate::run::live::{self, Key};

/// Whether a signal has come.
pub struct Interrupt {
    came: watch::Receiver<bool>,
    keys: mpsc::UnboundedSender<()>,
}

impl Interrupt {
    /// Watches from now on; the first signal also stops what `control` steers.
    pub fn watch(runtime: &Runtime, control: Arc<Control>) -> io::Result<Self> {
        let _context = runtime.enter();
        let (keys, pressed) = mpsc::unbounded_channel();
        let mut signals = Signals {
            pressed,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        let (sender, came) = watch::channel(false);
        runtime.spawn(async move {
            signals.next().await;
            sender.send_replace(true);
            control.stop();
            signals.next().await;
            live::restore();
            // The children end with this process, as they were started to.
            let message = "gatecrash: stopped by a second signal: no result was written";
            let _ = writeln!(io::stderr(), "{message}");
            std::process::exit(i32::from(verdict::STOPPED));
        });
        Ok(Self { came, keys })
    }

    /// Whether one has come.
    pub fn has_come(&self) -> bool {
        *self.came.borrow()
    }

    /// What to call for each key: Ctrl-C is a signal each time, `q` only where none has come.
    pub fn keys(&self) -> impl Fn(Key) + Send + 'static {
        let (keys, came) = (self.keys.clone(), self.came.clone());
        move |key| {
            if key == Key::Interrupt || !*came.borrow() {
                // Where nothing receives it any more, the run is over.
                let _over = keys.send(());
            }
        }
    }

    /// Waits for one.
    pub async fn came(&self) {
        let mut came = self.came.clone();
        if came.wait_for(|came| *came).await.is_err() {
            // The task is gone with its runtime: no signal will ever be reported.
            std::future::pending::<()>().await;
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    pressed: mpsc::UnboundedReceiver<()>,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(()) = self.pressed.recv() => {}
        }
    }
}
