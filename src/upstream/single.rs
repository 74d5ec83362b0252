//! One attempt at a time, shared by all who wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::UpstreamError;

/// A value that is fetched when it is needed. Of callers who need it at the same time one fetches,
/// and the others take what came of it, the failure too. If the one is dropped, another takes over.
#[derive(Debug)]
pub(super) struct Single<T> {
    held: Mutex<Held<T>>,
    finished: AtomicU64,
}

#[derive(Debug)]
struct Held<T> {
    value: Option<T>,
    failure: Option<UpstreamError>,
}

impl<T> Default for Single<T> {
    fn default() -> Self {
        let held = Held { value: None, failure: None };
        Self { held: Mutex::new(held), finished: AtomicU64::new(0) }
    }
}

impl<T: Clone> Single<T> {
    /// The value if there is one and `good` holds for it, else what `fetch` brings. Also says
    /// whether it was fetched for this call or for another that ran beside it.
    pub(super) async fn get(
        &self,
        good: impl Fn(&T) -> bool,
        fetch: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<(T, bool), UpstreamError> {
        let seen = self.finished.load(Ordering::Acquire);
        let mut held = self.held.lock().await;
        let waited = self.finished.load(Ordering::Acquire) != seen;
        if let Some(value) = held.value.as_ref().filter(|value| good(value)) {
            return Ok((value.clone(), waited));
        }
        if let Some(failure) = held.failure.as_ref().filter(|_| waited) {
            return Err(failure.clone());
        }
        let outcome = fetch.await;
        self.finished.fetch_add(1, Ordering::AcqRel);
        match outcome {
            Ok(value) => {
                *held = Held { value: Some(value.clone()), failure: None };
                Ok((value, true))
            }
            Err(failure) => {
                *held = Held { value: None, failure: Some(failure.clone()) };
                Err(failure)
            }
        }
    }

    /// Puts a value that was learnt in another way.
    pub(super) async fn put(&self, value: T) {
        self.held.lock().await.value = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_the_attempt_and_its_failure() {
        let single = Single::<u32>::default();
        let fetches = AtomicUsize::new(0);
        let fetch = |outcome: Result<u32, UpstreamError>| {
            let fetches = &fetches;
            async move {
                fetches.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                outcome
            }
        };
        let failing = || single.get(|_| true, fetch(Err(UpstreamError::Denied)));
        assert!(join_all((0..20).map(|_| failing())).await.iter().all(Result::is_err));
        assert_eq!(fetches.load(Ordering::Relaxed), 1, "every waiter tried for itself");
        let working = || single.get(|_| true, fetch(Ok(7)));
        assert!(join_all((0..20).map(|_| working())).await.iter().all(Result::is_ok));
        assert_eq!(fetches.load(Ordering::Relaxed), 2, "a failure must not be remembered");
        assert_eq!(single.get(|_| true, fetch(Ok(8))).await, Ok((7, false)));
        assert_eq!(single.get(|value| *value == 9, fetch(Ok(9))).await, Ok((9, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn if_the_one_who_fetches_is_dropped_another_takes_over() {
        let single = Single::<u32>::default();
        let never = single.get(|_| true, std::future::pending());
        let dropped = tokio::time::timeout(std::time::Duration::from_secs(1), never);
        let (lost, got) = tokio::join!(dropped, single.get(|_| true, async { Ok(1) }));
        assert!(lost.is_err());
        assert_eq!(got, Ok((1, true)));
    }
}
