//! Any configuration: it is read, or refused with faults that can be shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use responder::config::Config;

fuzz_target!(|text: &str| {
    // Relative paths are resolved against a folder that is not there.
    let reading = Config::parse(Path::new("/nowhere/responder.toml"), text);
    for fault in reading.faults.iter().chain(&reading.warnings) {
        assert!(!fault.to_string().is_empty());
    }
});
