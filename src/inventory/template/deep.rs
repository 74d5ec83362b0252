//! A stack for templates that can nest values as deep as they have fuel: in each round of a loop a
//! `namespace` may hold a list around what it held before. Letting go of such a value takes a stack
//! frame for each level.

use std::thread;

use minijinja::{Error, ErrorKind};

/// In bytes, of which only what is used takes memory. A million steps make about a hundred thousand
/// levels.
const STACK: usize = 256 << 20;

pub(super) fn run<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let failed = || Error::from(ErrorKind::OutOfFuel);
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK);
        let worker = builder.spawn_scoped(scope, work).map_err(|_| failed())?;
        worker.join().unwrap_or_else(|_| Err(failed()))
    })
}
