//! The program `codexd`: its allocator, its arguments and its exit code. All else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(codexd::run(std::env::args_os()))
}
