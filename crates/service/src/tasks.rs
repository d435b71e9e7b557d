//! The tasks of a process: the end of any one is the end of all, within a deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks and waits for them. Clones share them.
#[derive(Clone)]
pub(crate) struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    spawned: u64,
    /// Names of the tasks that have not ended, for the log line when they miss the deadline.
    running: BTreeMap<u64, &'static str>,
    /// The first failure: what comes after it is mostly its echo.
    failure: Option<anyhow::Error>,
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken) -> Tasks {
        Tasks { stop, tracker: TaskTracker::new(), state: Arc::default() }
    }

    /// Runs `task` until it ends, which before `stop` is a failure, whatever it returns.
    pub(crate) fn spawn<E: Into<anyhow::Error> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let id = {
            let mut state = self.state();
            state.spawned += 1;
            let id = state.spawned;
            state.running.insert(id, name);
            id
        };
        // A task of its own, so that its panic comes back as an error.
        let task = tokio::spawn(task);
        let tasks = self.clone();
        self.tracker.spawn(async move {
            let ended = task.await;
            let failure = match ended {
                Ok(Ok(())) if tasks.stop.is_cancelled() => None,
                Ok(Ok(())) => Some(anyhow::anyhow!("ended although nobody stopped it")),
                Ok(Err(error)) => Some(error.into()),
                Err(panic) => Some(anyhow::Error::new(panic)),
            };
            if let Some(failure) = failure {
                tracing::error!(task = name, error = format!("{failure:#}"), "task failed, stopping");
                tasks.state().failure.get_or_insert(failure.context(name));
            }
            tasks.state().running.remove(&id);
            tasks.stop.cancel();
        });
    }

    /// Waits for `stop` and then, at most until `deadline`, for every task. An error is the first failure.
    pub(crate) async fn finish(&self, deadline: Duration) -> anyhow::Result<()> {
        self.stop.cancelled().await;
        self.tracker.close();
        let in_time = tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok();
        let mut state = self.state();
        let running: Vec<&str> = state.running.values().copied().collect();
        match state.failure.take() {
            Some(failure) => Err(failure),
            None if in_time => Ok(()),
            None => Err(anyhow::anyhow!("not ended within shutdown.deadline: {}", running.join(", "))),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn tasks() -> (Tasks, CancellationToken) {
        let stop = CancellationToken::new();
        (Tasks::new(stop.clone()), stop)
    }

    /// A task that does as it should: it ends once it is told to, and says so.
    fn spawn_orderly(tasks: &Tasks, stop: &CancellationToken) -> tokio::sync::oneshot::Receiver<()> {
        let (ended, end) = tokio::sync::oneshot::channel();
        let stop = stop.clone();
        tasks.spawn("orderly", async move {
            stop.cancelled().await;
            let _ = ended.send(());
            anyhow::Ok(())
        });
        end
    }

    #[tokio::test]
    async fn tasks_that_end_when_told_to_are_a_success() {
        let (tasks, stop) = tasks();
        let end = spawn_orderly(&tasks, &stop);
        stop.cancel();
        tasks.finish(SOON).await.unwrap();
        end.await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_fails_stops_the_others_and_is_the_failure() {
        let (tasks, stop) = tasks();
        let end = spawn_orderly(&tasks, &stop);
        tasks.spawn("failing", async { Err(crate::Misconfigured("the reason".to_owned())) });
        let error = tasks.finish(SOON).await.unwrap_err();
        end.await.unwrap();
        assert_eq!(format!("{error:#}"), "failing: the reason");
        assert!(error.is::<crate::Misconfigured>(), "the exit code depends on the kind");
    }

    #[tokio::test]
    async fn a_task_that_panics_stops_the_others_and_is_the_failure() {
        let (tasks, stop) = tasks();
        let end = spawn_orderly(&tasks, &stop);
        tasks.spawn("panicking", async {
            assert!(std::hint::black_box(false), "a bug");
            anyhow::Ok(())
        });
        let error = tasks.finish(SOON).await.unwrap_err();
        end.await.unwrap();
        assert!(format!("{error:#}").contains("a bug"), "{error:#}");
    }

    #[tokio::test]
    async fn a_task_that_ends_before_it_is_told_to_is_a_failure() {
        let (tasks, _stop) = tasks();
        tasks.spawn("early", async { anyhow::Ok(()) });
        let error = tasks.finish(SOON).await.unwrap_err();
        assert!(format!("{error:#}").starts_with("early: "), "{error:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_misses_the_deadline_is_a_failure_that_names_it() {
        let (tasks, stop) = tasks();
        spawn_orderly(&tasks, &stop);
        tasks.spawn("hanging", std::future::pending::<anyhow::Result<()>>());
        stop.cancel();
        let error = tasks.finish(SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "not ended within shutdown.deadline: hanging");
    }
}
