//! Record of the store's layout: its version, who wrote it, and whether anything of layout 1 is left
//! (docs/dev/layout.md).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Inner, SweepError};
use crate::store::When;

/// Path of the record.
const PATH: &str = "layout";
/// Version of the layout that this program writes. 1 had no record, and paths that named no upstream.
const VERSION: u32 = 2;

/// Content of the record. A wire format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// Program and node that wrote it.
    written_by: String,
    /// True if records or private content lie in the places of layout 1.
    old_left: bool,
}

impl Inner {
    /// Looks whether anything of layout 1 is left, and writes down what is found.
    ///
    /// # Errors
    /// The store failed, or a newer version of this program keeps it in another layout.
    pub(super) async fn settle_layout(&self) -> Result<(), SweepError> {
        let records = &self.parts.records;
        let there = records.get(PATH).await?;
        let known = there.as_ref().map(|(value, _)| read(value)).transpose()?;
        let old_left = self.has_old_records().await? || self.parts.far.holds_old().await?;
        self.parts.layout.set_old_left(old_left);
        if known.is_some_and(|known| known.old_left == old_left) {
            return Ok(());
        }
        let written_by =
            format!("registry-mirror {} ({})", env!("CARGO_PKG_VERSION"), self.parts.node.id());
        let record = Record { version: VERSION, written_by, old_left };
        let value = serde_json::to_vec(&record).map(Bytes::from).unwrap_or_default();
        let when = there.map_or(When::Absent, |(_, version)| When::Is(version));
        // Where another node wrote it meanwhile, it has looked, too. Nothing depends on it.
        if let Err(error) = records.put(PATH, value, when).await {
            tracing::debug!(%error, "layout of the store not recorded");
        }
        Ok(())
    }

    /// Writes the record as it is, to see whether records are taken again.
    pub(super) async fn write_layout_again(&self) {
        let records = &self.parts.records;
        if let Ok(Some((value, version))) = records.get(PATH).await {
            // The outcome is noted by the records themselves.
            let _ = records.put(PATH, value, When::Is(version)).await;
        } else {
            let _ = self.settle_layout().await;
        }
    }

    /// Takes in what other nodes found of layout 1.
    ///
    /// # Errors
    /// As for [`Self::settle_layout`].
    pub(super) async fn read_layout(&self) -> Result<(), SweepError> {
        if let Some((value, _)) = self.parts.records.get(PATH).await? {
            self.parts.layout.set_old_left(read(&value)?.old_left);
        }
        Ok(())
    }
}

fn read(value: &[u8]) -> Result<Record, SweepError> {
    let unreadable = || SweepError::Unreadable { path: PATH.into() };
    let record: Record = serde_json::from_slice(value).map_err(|_| unreadable())?;
    if record.version == VERSION { Ok(record) } else { Err(unreadable()) }
}
