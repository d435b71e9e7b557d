//! Waiting for a server that is not there yet.

use std::time::Duration;

use crate::Error;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Tries until it works: a server that is down when a process starts is waited for, like one that goes down later. Each
/// failure that is waited out is logged, with where the `server` is, and told to `waiting`. Ends with an error only where
/// trying again cannot help.
pub async fn until_reached<T, Attempt: Future<Output = Result<T, Error>>>(
    server: &str,
    attempt: impl Fn() -> Attempt,
    waiting: impl Fn(&Error),
) -> Result<T, Error> {
    let mut wait = FIRST_WAIT;
    loop {
        match attempt().await {
            Err(error) if error.is_retryable() => {
                waiting(&error);
                tracing::warn!(server, error = %error, retry_in = ?wait, "the registry of views cannot be read, trying again");
                tokio::time::sleep(wait).await;
                wait = LONGEST_WAIT.min(wait * 2);
            }
            done => return done,
        }
    }
}
