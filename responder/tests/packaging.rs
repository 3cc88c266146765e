//! What goes beside the program: the unit and the lines for user and folders, as systemd reads them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// `systemd-analyze security`, from 0 (shut in) to 10: the unit must not get worse. What is left over the
/// lowest: it starts as root, in the host's network, with eight capabilities.
const EXPOSURE: f64 = 2.9;

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

/// What a tool says of the unit.
fn analyze(arguments: &[&str], unit: &Path) -> String {
    let ran = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let ran = ran.expect("systemd-analyze (`cargo xtask setup` installs it)");
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

#[test]
fn the_unit_is_shut_in() {
    let text =
        analyze(&["security", "--offline=true", "--no-pager"], &packaged("responder.service"));
    let line = text.lines().find(|line| line.contains("Overall exposure level")).expect(&text);
    let level = line.split_ascii_whitespace().find_map(|word| word.parse::<f64>().ok());
    let level = level.expect(line);
    println!("{line}");
    assert!(level <= EXPOSURE, "{text}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    // The program stands where the test built it.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("responder.service");
    let text = fs::read_to_string(packaged("responder.service")).unwrap();
    fs::write(&unit, text.replace("/usr/bin/responder", env!("CARGO_BIN_EXE_responder"))).unwrap();
    let told = analyze(&["verify", "--man=no"], &unit);
    // It looks at other units too.
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("responder.service")).collect();
    assert_eq!(ours, Vec::<&str>::new());
}

#[test]
fn the_user_and_its_folders_are_lines_that_systemd_takes() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    for (tool, file) in [
        ("systemd-sysusers", "sysusers.d/responder.conf"),
        ("systemd-tmpfiles", "tmpfiles.d/responder.conf"),
    ] {
        let mut command = Command::new(tool);
        command.arg(format!("--root={}", root.path().display()));
        if tool == "systemd-tmpfiles" {
            command.arg("--create");
        }
        let ran = command.arg(packaged(file)).output().expect(tool);
        assert!(ran.status.success(), "{ran:?}");
    }
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(users.contains("responder:"), "{users}");
    assert!(root.path().join("var/lib/responder").is_dir());
}
