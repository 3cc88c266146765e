//! The clients' zones: small delegation-only ones, unsigned.

use std::fmt::Write as _;

/// How many delegations each has.
const DELEGATIONS: usize = 40;

/// The text of a zone of a serial; its `serial.ZONE` record tells the serial too.
pub fn text(zone: &str, serial: u32) -> String {
    let mut text = format!(
        "$ORIGIN {zone}\n$TTL 3600\n@ SOA ns.{zone} hostmaster.{zone} {serial} 7200 60 1209600 300\n\
         @ NS ns.{zone}\n@ NS anycast.cloud.example.\nns A 192.0.2.53\nns AAAA 2001:db8:53::53\n\
         www A 198.51.100.80\nserial TXT \"{serial}\"\n"
    );
    for number in 0..DELEGATIONS {
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "name{number} NS ns1.name{number}\nns1.name{number} A 203.0.113.{number}"
        );
    }
    text
}

/// A version that has lost nearly everything, as a fault at a client's may publish it.
pub fn emptied(zone: &str, serial: u32) -> String {
    format!(
        "$ORIGIN {zone}\n$TTL 3600\n@ SOA ns.{zone} hostmaster.{zone} {serial} 7200 60 1209600 300\n\
         @ NS ns.{zone}\nns A 192.0.2.53\n"
    )
}

/// The first serial of all zones.
pub const FIRST: u32 = 2026_0101;
