//! The command line of `responder`; everything else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    responder::cli::main()
}
