//! What of a line may be shown (promise 14).

use crate::diagnostic::Place;

use super::Origin;

pub(super) fn place(origin: &Origin, _shown: bool) -> Place {
    Place {
        file: origin.source().name().clone(),
        line: origin.line(),
        column: origin.column(),
        text: None,
        caret: 0,
        width: origin.width().max(1),
    }
}
