//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry_mirror::command::main()
}
