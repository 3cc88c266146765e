//! Indexing that both the compiler and the verifier understand.
//!
//! The compiler may form a pointer before it checks the index; the verifier then knows the index's bounds
//! but not the pointer's, and refuses. Here the index passes a barrier between check and use.

/// Hides a value's history from the compiler.
#[inline(always)]
pub fn opaque(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: one move of a register to itself.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// The value if it is between one and `most`: the length that a helper asks for.
///
/// Before Linux 6.8 the verifier learns nothing from "is not zero", so one is taken off for the check,
/// and added again out of the compiler's sight.
#[inline(always)]
pub fn positive(value: u64, most: u64) -> Option<u64> {
    let below = opaque(value.wrapping_sub(1));
    if below >= most {
        return None;
    }
    Some(opaque(below) + 1)
}

/// A copy of an element, or nothing beyond the end.
#[inline(always)]
pub fn get<T: Copy, const N: usize>(array: &[T; N], index: u32) -> Option<T> {
    let index = opaque(u64::from(index));
    if index >= N as u64 {
        return None;
    }
    let index = opaque(index);
    // SAFETY: the index is below the length, as was just checked.
    Some(unsafe { *array.as_ptr().add(index as usize) })
}

/// A reference to an element, or nothing beyond the end.
#[inline(always)]
pub fn at<T, const N: usize>(array: &[T; N], index: u32) -> Option<&T> {
    let index = opaque(u64::from(index));
    if index >= N as u64 {
        return None;
    }
    let index = opaque(index);
    // SAFETY: the index is below the length, as was just checked.
    Some(unsafe { &*array.as_ptr().add(index as usize) })
}

/// Changes an element; false beyond the end.
#[inline(always)]
pub fn set<T: Copy, const N: usize>(array: &mut [T; N], index: u32, value: T) -> bool {
    let index = opaque(u64::from(index));
    if index >= N as u64 {
        return false;
    }
    let index = opaque(index);
    // SAFETY: the index is below the length, as was just checked.
    unsafe { *array.as_mut_ptr().add(index as usize) = value };
    true
}

/// Eight octets from `at`, in memory order; zeros where they would reach beyond the end.
#[inline(always)]
pub fn word<const N: usize>(buffer: &[u8; N], at: u32) -> u64 {
    let at = opaque(u64::from(at));
    if at > N as u64 - 8 {
        return 0;
    }
    let at = opaque(at);
    // SAFETY: eight octets from `at` are inside the buffer, as was just checked.
    unsafe { core::ptr::read_unaligned(buffer.as_ptr().add(at as usize).cast::<u64>()) }
}

/// Two octets from `at` as a number in network order; zero where they would reach beyond the end.
#[inline(always)]
pub fn number<const N: usize>(buffer: &[u8; N], at: u32) -> u16 {
    let at = opaque(u64::from(at));
    if at > N as u64 - 2 {
        return 0;
    }
    let at = opaque(at);
    // SAFETY: two octets from `at` are inside the buffer, as was just checked.
    u16::from_be(unsafe { core::ptr::read_unaligned(buffer.as_ptr().add(at as usize).cast()) })
}

/// Writes eight octets at `at`; nothing where they would reach beyond the end.
#[inline(always)]
pub fn put<const N: usize>(buffer: &mut [u8; N], at: u32, octets: u64) {
    let at = opaque(u64::from(at));
    if at > N as u64 - 8 {
        return;
    }
    let at = opaque(at);
    // SAFETY: eight octets from `at` are inside the buffer, as was just checked.
    unsafe { buffer.as_mut_ptr().add(at as usize).cast::<u64>().write_unaligned(octets) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_beyond_the_end() {
        let mut buffer = [1_u8, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(get(&buffer, 8), Some(9));
        assert_eq!(get(&buffer, 9), None);
        assert_eq!(word(&buffer, 1), u64::from_le_bytes([2, 3, 4, 5, 6, 7, 8, 9]));
        assert_eq!(word(&buffer, 2), 0);
        assert_eq!(number(&buffer, 7), 0x0809);
        assert_eq!(number(&buffer, 8), 0);
        assert!(!set(&mut buffer, 9, 0));
        assert_eq!(positive(0, 9), None);
        assert_eq!(positive(1, 9), Some(1));
        assert_eq!(positive(9, 9), Some(9));
        assert_eq!(positive(10, 9), None);
        put(&mut buffer, 2, 0);
        assert_eq!(buffer[2], 3);
    }
}
