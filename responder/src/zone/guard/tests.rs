//! What guards let pass, and what they do not.

use super::*;
use crate::zone::{Progress, collect::Collector, name::from_text_lower, read};

/// A zone from the text of RFC 8976, appendix A.1: its digest is the document's.
const SIMPLE: &str = "\
example. 86400 IN SOA ns1 admin 2018031900 1800 900 604800 86400
example. 86400 IN NS ns1
example. 86400 IN NS ns2
example. 86400 IN ZONEMD 2018031900 1 1 \
c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c
ns1 3600 IN A 203.0.113.63
ns2 3600 IN AAAA 2001:db8::63
";

fn judge(text: &str, guards: &Guards, before: Option<u64>) -> Result<(), Refusal> {
    let apex = from_text_lower("example.").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    std::fs::write(&file, text).unwrap();
    let mut collector = Collector::default();
    let (limits, progress) = (read::Limits::default(), Progress::default());
    let report =
        read::read_batches(&apex, &file, &limits, &progress, &mut |rows| collector.add(rows));
    let records = report.unwrap().records;
    let sorted = collector.sort(&progress).unwrap();
    let owners = || -> Owners<'_> { Box::new(sorted.owners().map(Ok)) };
    guards.judge(&Subject { apex: &apex, before, records, owners: &owners })
}

fn zonemd(text: &str, zonemd: Zonemd) -> Result<(), Refusal> {
    judge(text, &Guards { zonemd, ..Guards::default() }, None)
}

fn refused(message: &str) -> Result<(), Refusal> {
    Err(Refusal::Zone(message.to_owned()))
}

#[test]
fn rfc8976_the_example_of_the_document_is_right() {
    assert_eq!(zonemd(SIMPLE, Zonemd::Required), Ok(()));
    // The order of records and the case of names make no difference.
    let mut lines: Vec<&str> = SIMPLE.lines().collect();
    lines.swap(1, 2);
    lines.swap(4, 5);
    let text = lines.join("\n").replace("NS ns1", "NS NS1") + "\n";
    assert_eq!(zonemd(&text, Zonemd::Required), Ok(()));
}

#[test]
fn rfc8976_a_zone_that_is_not_what_its_digest_says_is_refused() {
    let changed = SIMPLE.replace("203.0.113.63", "203.0.113.64");
    let wrong = refused("its ZONEMD digest is not that of its records (RFC 8976)");
    assert_eq!(zonemd(&changed, Zonemd::Required), wrong);
    assert_eq!(zonemd(&changed, Zonemd::IfPresent), wrong);
    assert_eq!(zonemd(&changed, Zonemd::Off), Ok(()));
    let retimed = SIMPLE.replace("ns2 3600", "ns2 3601");
    assert_eq!(zonemd(&retimed, Zonemd::IfPresent), wrong);
    let older = SIMPLE.replace("ZONEMD 2018031900", "ZONEMD 2018031899");
    let stale = refused("its ZONEMD record is not of its serial 2018031900");
    assert_eq!(zonemd(&older, Zonemd::IfPresent), stale);
}

#[test]
fn rfc8976_a_digest_that_is_not_there_or_not_known_is_a_fault_only_if_required() {
    let mut lines: Vec<&str> = SIMPLE.lines().collect();
    lines.remove(3);
    let without = lines.join("\n") + "\n";
    assert_eq!(zonemd(&without, Zonemd::IfPresent), Ok(()));
    assert_eq!(zonemd(&without, Zonemd::Required), refused("it has no ZONEMD record"));
    let unknown = SIMPLE.replace("2018031900 1 1 ", "2018031900 1 241 ");
    assert_eq!(zonemd(&unknown, Zonemd::IfPresent), Ok(()));
    let message = "its ZONEMD records have no scheme and algorithm that are known here";
    assert_eq!(zonemd(&unknown, Zonemd::Required), refused(message));
}

#[test]
fn a_zone_that_shrinks_too_much_is_refused() {
    let guards = Guards { max_shrink: Some(20), zonemd: Zonemd::Off, check: None };
    assert_eq!(judge(SIMPLE, &guards, None), Ok(()));
    assert_eq!(judge(SIMPLE, &guards, Some(7)), Ok(()));
    let message = "it has 6 records where 8 are served: max-shrink = 20 (per cent) forbids that; raise \
                   it if this is meant";
    assert_eq!(judge(SIMPLE, &guards, Some(8)), Err(Refusal::Guard(message.to_owned())));
}

fn check(script: &str, milliseconds: u64) -> Result<(), Refusal> {
    let check = Check {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        time: Duration::from_millis(milliseconds),
    };
    judge(SIMPLE, &Guards { check: Some(check), ..Guards::default() }, None)
}

#[test]
fn a_command_reads_the_zone_and_decides() {
    let told = |text: &str| Err(Refusal::Guard(format!("check-command /bin/sh: {text}")));
    let script = "test $ZONE = example. && test $SERIAL = 2018031900 && \
                  grep -q '^ns2.example.\t3600\tIN\tAAAA\t2001:db8::63$'";
    assert_eq!(check(script, 10_000), Ok(()));
    // It need not read.
    assert_eq!(check("exit 0", 10_000), Ok(()));
    let no = told("says no (exit status: 3): bad; very bad");
    assert_eq!(check("cat >/dev/null; echo bad >&2; echo very bad >&2; exit 3", 10_000), no);
    assert_eq!(check("exit 1", 10_000), told("says no (exit status: 1)"));
    // Nor does its child outlive it.
    let late = told("was killed after check-time = 0s");
    assert_eq!(check("sleep 1000 & sleep 1000", 100), late);
}
