//! One question asked once, however many want the answer at a time.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use tokio::{runtime::Handle, sync::watch};

use super::lock;
use std::sync::Mutex;

/// Questions under way. The asking is a task of the engine: nobody who waits, and nobody who
/// leaves, can stop it.
pub(super) struct Once<K, V> {
    under_way: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
}

impl<K, V> Once<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { under_way: Arc::default() }
    }

    /// The answer to `key`: of the asking under way, or of a new one. The second value says
    /// whether somebody else had asked already. None if the asking died of a panic.
    pub(super) async fn ask<F>(
        &self,
        engine: &Handle,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> (Option<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (mut answer, joined) = {
            let mut table = lock(&self.under_way);
            match table.get(&key) {
                Some(answer) => (answer.clone(), true),
                None => {
                    let (send, answer) = watch::channel(None);
                    table.insert(key.clone(), answer.clone());
                    let entry = Entry { table: self.under_way.clone(), key };
                    let asking = ask();
                    engine.spawn(async move {
                        let value = asking.await;
                        // Whoever comes after the entry is gone finds what the asking kept.
                        let _ = send.send(Some(value));
                        drop(entry);
                    });
                    (answer, false)
                }
            }
        };
        let value = answer.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        (value, joined)
    }
}

/// Takes the question off the table however the asking ends.
struct Entry<K: Eq + Hash, V> {
    table: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
    }
}

impl<K, V> fmt::Debug for Once<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}
