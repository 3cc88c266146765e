//! The parameters of an NSEC3 chain, and the hashes that its owners' names carry.

use responder_common::{
    denial::{ITERATIONS_MAX, SALT_MAX},
    wire::rtype,
};

use crate::zone::{collect::RrSet, compile::CompileError, name::to_text};

/// Iterations and salt of the chain that the apex declares complete (RFC 5155, section 4.1.2: flags
/// zero): of its NSEC3PARAM the first with an algorithm that we know.
///
/// # Errors
/// When a hash would take more work than a query may cost.
pub fn parameters<'a>(apex: &[RrSet<'a>]) -> Result<Option<(u16, &'a [u8])>, CompileError> {
    let declared = apex.iter().find(|set| set.rtype == rtype::NSEC3PARAM);
    let known = declared.and_then(|set| {
        set.rdata.iter().find(|rdata| rdata.len() >= 5 && rdata[0] == 1 && rdata[1] == 0)
    });
    let Some(rdata) = known else { return Ok(None) };
    let iterations = u16::from_be_bytes([rdata[2], rdata[3]]);
    let salt = &rdata[5..];
    if iterations > ITERATIONS_MAX || salt.len() > SALT_MAX {
        return Err(CompileError::Zone(format!(
            "its NSEC3 chain asks for {iterations} iterations and a salt of {} octets; served are up to \
             {ITERATIONS_MAX} and {SALT_MAX}: sign it with none of either (RFC 9276)",
            salt.len()
        )));
    }
    Ok(Some((iterations, salt)))
}

/// The hash that an NSEC3 stands for, if it is of the chain with these parameters.
pub fn hash_of(name: &[u8], set: &RrSet<'_>, iterations: u16, salt: &[u8]) -> Option<Vec<u8>> {
    let rdata = set.rdata.first()?;
    let same = rdata.len() > 5
        && rdata[0] == 1
        && u16::from_be_bytes([rdata[2], rdata[3]]) == iterations
        && rdata[5..].starts_with(salt)
        && usize::from(rdata[4]) == salt.len();
    if same { hash_in(name) } else { None }
}

/// Whether an NSEC3 stands where one may: its owner's first label is a hash (RFC 5155, section 3). What
/// belongs to an algorithm that we do not know is not judged.
///
/// # Errors
/// It does not: one line that names the owner.
pub fn check_owner(name: &[u8], set: &RrSet<'_>) -> Result<(), String> {
    let known = set.rdata.iter().any(|rdata| rdata.first() == Some(&1));
    if known && hash_in(name).is_none() {
        let name = to_text(name);
        return Err(format!("{name} owns an NSEC3 and is no hash of a name (RFC 5155, section 3)"));
    }
    Ok(())
}

/// The hash in the first label of a name, if it is one: 32 digits of base 32 with the extended hex
/// alphabet (RFC 4648, section 7), of five bits each.
pub fn hash_in(name: &[u8]) -> Option<Vec<u8>> {
    if name.first() != Some(&32) {
        return None;
    }
    let mut hash = Vec::with_capacity(20);
    let (mut bits, mut held) = (0_u32, 0);
    for octet in &name[1..33] {
        let digit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        bits = bits << 5 | u32::from(digit);
        held += 5;
        if held >= 8 {
            held -= 8;
            hash.push((bits >> held) as u8);
        }
    }
    Some(hash)
}
