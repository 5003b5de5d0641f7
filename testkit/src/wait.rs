//! Waits for events, with a limit.

use std::time::Duration;

use tokio::time::{interval, timeout};

/// Longer than any step of a test takes, also on a busy machine, where a browser starts slowly.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The time between two checks of a state that must be polled.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The result of `future`, which must be ready within [`PATIENCE`]; `what` is named in the panic.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {PATIENCE:?}"),
    }
}

/// Calls `look` until it returns a value; `what` is named in the panic.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    soon(what, async {
        let mut ticks = interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(seen) = look() {
                return seen;
            }
        }
    })
    .await
}
