//! The Internet checksum (RFC 1071), over words loaded in memory order.
//!
//! The one's-complement sum does not care for byte order as long as the result is stored the way the
//! words were loaded; so words are loaded little-endian, as the processor has them, and so is the
//! result written. A block that starts at an odd offset contributes its sum with the octets swapped.

/// Folds a sum of 16- or 32-bit words to 16 bits.
#[inline(always)]
pub fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The two 32-bit halves of eight octets, to be added up in 64 bits.
#[inline(always)]
pub fn halves(word: u64) -> u64 {
    (word >> 32) + (word & 0xffff_ffff)
}

/// What a block that sums to `sum` adds when it stands at `offset`.
#[inline(always)]
pub fn at(offset: u16, sum: u16) -> u64 {
    u64::from(if offset & 1 == 0 { sum } else { sum.swap_bytes() })
}

/// What the 16-bit number `value`, written big-endian at `offset`, adds.
#[inline(always)]
pub fn number(offset: u16, value: u16) -> u64 {
    at(offset, value.swap_bytes())
}

/// The sum of a byte string that starts at an even offset; for the compiler of zones and tests.
pub fn of(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0_u64, |sum, pair| {
        sum + u64::from(u16::from_le_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
    });
    fold(sum)
}
