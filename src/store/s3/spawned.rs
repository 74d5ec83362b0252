//! A task on the engine, awaited from anywhere.

use tokio::task::JoinHandle;

use crate::store::StoreError;

/// A task, and what becomes of it when nobody waits any more.
#[derive(Debug)]
pub(super) struct Spawned<T> {
    task: JoinHandle<T>,
    abandon: bool,
}

impl<T> Spawned<T> {
    /// Ends with whoever waits for it.
    pub(super) fn abandoned_on_drop(task: JoinHandle<T>) -> Self {
        Self { task, abandon: true }
    }

    /// Runs to its end in any case.
    pub(super) fn detached_on_drop(task: JoinHandle<T>) -> Self {
        Self { task, abandon: false }
    }
}

impl<T> Spawned<Result<T, StoreError>> {
    /// What the task came to.
    ///
    /// # Errors
    /// The task's own; or the engine has stopped, which only happens while the program ends.
    pub(super) async fn join(mut self, operation: &'static str) -> Result<T, StoreError> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable { operation, code: "stopped".into() }),
        }
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        if self.abandon {
            self.task.abort();
        }
    }
}
