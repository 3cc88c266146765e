//! Files of many pieces, which threads read side by side: nothing may show it.

use crate::{HEAD, outcome};

/// A zone file, and the records that it holds.
struct Zone {
    text: String,
    line: usize,
    records: Vec<String>,
}

impl Zone {
    fn new(head: &str) -> Self {
        Self { text: head.to_owned(), line: 1 + head.matches('\n').count(), records: Vec::new() }
    }

    fn add(&mut self, text: &str) {
        self.text += text;
        self.line += text.matches('\n').count();
    }

    /// Adds an A record with a number as its address; `entry` has it as `ADDRESS`.
    fn record(&mut self, entry: &str, owner: &str, ttl: u32, number: u32) {
        let [a, b, c, d] = number.to_be_bytes();
        self.records.push(format!("0:{} {owner} {ttl} 1 {number:08x}", self.line));
        self.add(&entry.replace("ADDRESS", &format!("{a}.{b}.{c}.{d}")));
    }
}

/// Many entries that lean on what stands before them in every way.
fn leaning(dollar_ttl: bool) -> Zone {
    let mut zone = Zone::new(if dollar_ttl { HEAD } else { "@ 300 SOA ns1 host 1 2 3 4 5\n" });
    let (mut ttl, mut origin) = (300, "lac.");
    for number in 0..30_000 {
        let owner = format!("n{number}.{origin}");
        zone.record(&format!("n{number} A ADDRESS\n"), &owner, ttl, number);
        // Runs without an owner, one of them longer than several pieces.
        let run = if number == 15_000 { 60_000 } else { number % 4 };
        for place in 0..run {
            match place % 4 {
                0 => zone.add("; nothing\n\n"),
                1 => zone.add(" ; (\n"),
                _ => {}
            }
            let entry = [" A ADDRESS\n", "\tIN (A\n ADDRESS ; (\n)\n"][place as usize % 2];
            zone.record(entry, &owner, ttl, number);
        }
        if number % 4_000 == 3_999 {
            ttl += 1;
            if dollar_ttl {
                zone.add(&format!("$TTL {ttl}\n"));
            } else {
                zone.record(&format!("x {ttl} A ADDRESS\n"), &format!("x.{origin}"), ttl, number);
            }
            origin = if origin == "lac." { "sub.lac." } else { "lac." };
            zone.add(&format!("$ORIGIN {origin}\n"));
        }
    }
    zone
}

#[test]
fn what_a_record_leaves_out_is_found_in_the_piece_before() {
    for dollar_ttl in [true, false] {
        let zone = leaning(dollar_ttl);
        assert!(zone.text.len() > 8 << 18, "not many pieces");
        let (records, report) = outcome(&zone.text).expect("a zone");
        assert_eq!(report.warnings, [""; 0]);
        assert_eq!(records.len(), zone.records.len() + 1);
        let wrong = records[1..].iter().zip(&zone.records).find(|(found, wanted)| found != wanted);
        assert_eq!(wrong, None, "$TTL: {dollar_ttl}");
    }
}

#[test]
fn the_first_fault_is_told_whichever_is_met_first() {
    let zone = leaning(true);
    let first = format!("zone:{}: near \"1.2.3\"", zone.line);
    let more = "worse A\n".repeat(100_000);
    for behind in [
        &*more,
        // These are met by the thread that cuts, while pieces are still being read.
        "$NONSENSE\n",
        "(\n",
    ] {
        let error = outcome(&format!("{}bad A 1.2.3\n{behind}", zone.text)).expect_err("a fault");
        assert!(error.starts_with(&first), "{error}");
    }
}

#[test]
fn warnings_count_over_all_pieces_and_name_the_first() {
    let mut text = HEAD.to_owned();
    for number in 0..100_000 {
        text += &format!("n{number} A 192.0.2.1\n");
        if number % 1_000 == 999 {
            text += &format!("n{number}.example. A 192.0.2.1\nm{number} 4000000000 A 192.0.2.1\n");
        }
    }
    let (records, report) = outcome(&text).expect("a zone");
    assert_eq!((records.len(), report.records), (100_101, 100_101));
    assert_eq!(
        report.warnings,
        [
            "zone:1003: n999.example. is outside of the zone lac.: the record is left out, and 99 \
             more like it",
            "zone:1004: a TTL above 2147483647 counts as 0 (RFC 2181, section 8), and 99 more like it",
        ]
    );
}
