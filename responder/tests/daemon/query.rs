//! `responder query`.

use crate::harness::{Node, zones};

const ZONE: &str = "$TTL 3600
@ SOA ns1 hostmaster 7 7200 3600 1209600 300
@ NS ns1
ns1 A 192.0.2.1
www A 192.0.2.80
www AAAA 2001:db8::80
text TXT \"a b\" \"c\\\"d\"
odd TYPE65280 \\# 3 010203
mail MX 10 www
sub NS ns1.sub
ns1.sub A 192.0.2.9
sub DS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
";

fn node() -> Node {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", ZONE);
    node
}

/// The standard output of a query that succeeds, without the number that differs between runs.
fn ask(node: &Node, arguments: &[&str]) -> String {
    let ran = node.run(&[&["query", "--config", "r.toml"], arguments].concat());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let (first, rest) = ran.out.split_once('\n').unwrap();
    let (status, _) = first.split_once(", id: ").unwrap();
    format!("{status}\n{rest}")
}

#[test]
fn a_referral_as_dig_prints_it() {
    assert_eq!(
        ask(&node(), &["WWW.sub.a.example.", "AAAA", "--dnssec", "--nsid"]),
        ";; ->>HEADER<<- opcode: QUERY, status: NOERROR
;; flags: qr; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 2

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags: do; udp: 1232
; NSID: 74 65 73 74 2d 6e 6f 64 65 (\"test-node\")
;; QUESTION SECTION:
;WWW.sub.a.example.\t\tIN\tAAAA

;; AUTHORITY SECTION:
sub.a.example.\t\t3600\tIN\tNS\tns1.sub.a.example.

;; ADDITIONAL SECTION:
ns1.sub.a.example.\t3600\tIN\tA\t192.0.2.9

;; SERVER: the engine of this process (UDP)
;; MSG SIZE  rcvd: 93
"
    );
}

#[test]
fn a_ds_as_dig_prints_it() {
    let answer = ask(&node(), &["sub.a.example.", "DS"]);
    let line = "\nsub.a.example.\t\t3600\tIN\tDS\t12345 13 2 \
0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n";
    assert!(answer.contains(line), "{answer}");
}

#[test]
fn every_type_is_written_as_a_zone_file_would() {
    let node = node();
    for (arguments, record) in [
        (["text.a.example", "TXT"], "text.a.example.\t\t3600\tIN\tTXT\t\"a b\" \"c\\\"d\"\n"),
        (["odd.a.example", "TYPE65280"], "odd.a.example.\t\t3600\tIN\tTYPE65280\t\\# 3 010203\n"),
        (["mail.a.example", "mx"], "mail.a.example.\t\t3600\tIN\tMX\t10 www.a.example.\n"),
        (["www.a.example", "aaaa"], "www.a.example.\t\t3600\tIN\tAAAA\t2001:db8::80\n"),
    ] {
        let text = ask(&node, &arguments);
        assert!(text.contains(&format!(";; ANSWER SECTION:\n{record}\n")), "{record}{text}");
    }
}

#[test]
fn denials_and_refusals_are_answers_too() {
    let node = node();
    let text = ask(&node, &["nope.a.example"]);
    assert!(text.starts_with(";; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN\n;; flags: qr aa;"));
    assert!(text.contains("\n;; AUTHORITY SECTION:\na.example.\t\t300\tIN\tSOA\t"), "{text}");
    let text = ask(&node, &["elsewhere.example", "A", "--bufsize", "0"]);
    assert!(!text.contains("OPT PSEUDOSECTION"), "{text}");
    assert!(text.starts_with(";; ->>HEADER<<- opcode: QUERY, status: REFUSED\n"), "{text}");
}

#[test]
fn what_cannot_be_asked_is_told() {
    let node = node();
    let error = |arguments: &[&str]| {
        let ran = node.run(&[&["query", "--config", "r.toml"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        ran.err
    };
    assert_eq!(
        error(&["a.example", "NONSENSE"]),
        "error: \"NONSENSE\" is no record type: write its mnemonic, or TYPE and its number\n"
    );
    assert!(error(&["a..example"]).starts_with("error: \"a..example\" is no domain name: "));
    assert_eq!(
        error(&["a.example", "AXFR", "--tcp"]),
        "error: the engine leaves this query to the daemon: NOTIFY, transfers and signed queries\n"
    );
    node.write("a.zone", "@ A nothing\n");
    assert!(error(&["a.example"]).starts_with("error: a.zone:1: "));
}
