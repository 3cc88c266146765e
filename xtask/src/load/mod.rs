//! Loads on a veth pair: who makes them, who is measured, what is counted.
//!
//! | module | what |
//! |---|---|
//! | [`beside`] | a second client, behind an interface of its own |
//! | [`frames`] | a generator of the kernel's own frames, for the fastest servers |
//! | [`generator`] | `kxdpgun` and `dnsperf` on the client's side |
//! | [`once_more`] | questions asked again over TCP |
//! | [`reflector`] | the ceiling: a program that only sends queries back |
//! | [`resolvers`] | ordinary clients behind a second interface |
//! | [`usage`] | time of the processors, memory of processes |

pub mod beside;
pub mod frames;
pub mod generator;
mod once_more;
pub mod reflector;
pub mod resolvers;
pub mod usage;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::process;

/// Compiles a program in C in a folder, where its object then stands.
///
/// # Errors
/// When clang is missing, or says no.
fn compile(folder: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let object = folder.join(name).with_extension("o");
    fs::write(folder.join("frame.h"), include_str!("frame.h"))?;
    fs::write(folder.join(name), source)?;
    let mut clang = Command::new("clang");
    clang.args(["-O2", "-target", "bpf", "-mcpu=v3", "-c"]).arg(folder.join(name));
    process::output(clang.arg("-o").arg(&object)).context("remedy: cargo xtask setup")?;
    Ok(object)
}

/// The middle one of some numbers; of an even count the higher of the two. Zero of none.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_a_number_of_the_row() {
        assert_eq!(super::median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(super::median([4.0, 1.0]), 4.0);
        assert_eq!(super::median([]), 0.0);
    }
}
