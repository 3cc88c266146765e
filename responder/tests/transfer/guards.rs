//! Guards that an operator sets: a version that they do not let pass is not served.

use crate::{
    hostile::refused_by,
    script::{Say, Script},
};

#[test]
fn a_zone_that_shrinks_too_much_is_refused() {
    let shrunk = |script: &mut Script| {
        script.messages[2].remove(0);
    };
    let wanted = "it has 3 records where 4 are served: max-shrink = 20 (per cent) forbids that; raise \
                  it if this is meant";
    refused_by(shrunk, wanted, "", "max-shrink = 20\n");
}

#[test]
fn rfc8976_a_zone_that_is_not_what_its_digest_says_is_refused() {
    let zonemd = [&2_u32.to_be_bytes()[..], &[1, 1], &[7; 48]].concat();
    let wrong = |script: &mut Script| {
        script.messages[1].push(Say::Raw("tld.test.", 63, 1, zonemd));
    };
    refused_by(wrong, "its ZONEMD digest is not that of its records (RFC 8976)", "", "");
}

#[test]
fn a_zone_that_the_operators_program_does_not_like_is_refused() {
    let more =
        "check-command = [\"/bin/sh\", \"-c\", \"! grep bad. || { echo no bad; exit 1; } >&2\"]\n";
    let bad = |script: &mut Script| {
        script.messages[1].push(Say::A("bad.tld.test.", [192, 0, 2, 1]));
    };
    let wanted = "check-command /bin/sh: says no (exit status: 1): no bad";
    refused_by(bad, wanted, "", more);
}
