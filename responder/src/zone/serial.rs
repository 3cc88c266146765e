//! Serials of zones.

/// The fixed fields at the end of an SOA's data, serial first (RFC 1035, section 3.3.13).
pub const SOA_FIXED: usize = 20;

/// The serial in an SOA's data.
pub fn serial_of(soa: &[u8]) -> Option<u32> {
    let fixed: &[u8; SOA_FIXED] = soa.last_chunk()?;
    Some(u32::from_be_bytes(*fixed.first_chunk()?))
}

/// Whether a serial is newer than another (RFC 1982, section 3.2); two that are 2^31 apart are not.
pub fn is_newer(serial: u32, than: u32) -> bool {
    matches!(serial.wrapping_sub(than), 1..=0x7fff_ffff)
}
