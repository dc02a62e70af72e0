//! `p2psim`: runs real nodes by the hundreds, in virtual time.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
