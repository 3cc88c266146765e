//! PowerDNS keeps its zones in a database.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::find;

/// Writes an empty database and a configuration with `more` into a folder; gives the configuration.
pub fn prepare(port: u16, folder: &Path, more: &str) -> String {
    let database = folder.join("db");
    let config = format!(
        "local-address=127.0.0.1\nlocal-port={port}\nlaunch=gsqlite3\ngsqlite3-database={}\n\
         socket-dir={}\nguardian=no\ndaemon=no\nsetuid=\nsetgid=\nloglevel=6\n\
         zone-cache-refresh-interval=0\nquery-cache-ttl=0\ncache-ttl=0\nnegquery-cache-ttl=0\n\
         disable-syslog=yes\n{more}",
        database.display(),
        folder.display()
    );
    fs::write(folder.join("pdns.conf"), &config).unwrap();
    let schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
    let text = fs::read_to_string(schema).expect("run `cargo xtask setup`");
    let mut sqlite = Command::new(find("sqlite3"))
        .arg(&database)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("run `cargo xtask setup`");
    let text = format!("PRAGMA journal_mode=WAL;\n{text}");
    sqlite.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(sqlite.wait().unwrap().success());
    config
}

/// Runs `pdnsutil` on the database of a folder.
pub fn util(folder: &Path, arguments: &[&str]) {
    let config = format!("--config-dir={}", folder.display());
    let output = Command::new(find("pdnsutil")).arg(config).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}
