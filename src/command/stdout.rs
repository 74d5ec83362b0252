//! What a command is asked for goes to stdout, and to nothing else.

use std::io::{ErrorKind, Write};

/// Writes all of it.
///
/// # Errors
/// It cannot be written to; that has been said.
pub(super) fn write(text: &str) -> Result<(), ()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        // Whoever reads only the first lines has seen what they wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            eprintln!("error: stdout cannot be written to: {}", error.kind());
            Err(())
        }
    }
}
