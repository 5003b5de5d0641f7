//! Waiting for events, with a limit.

use std::time::Duration;

use tokio::time::{interval, timeout};

/// Longer than anything in these tests takes, on a busy machine too (a browser is slow to start).
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at a state that sends no event when it changes.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The result of `future`, which must be ready within [`PATIENCE`]; `what` is for the error.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {PATIENCE:?}"),
    }
}

/// Calls `look` until it returns a value; `what` is for the error.
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
