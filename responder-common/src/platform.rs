//! What the engine asks of the place where it runs: the kernel, or a process.

use zerocopy::{FromBytes, Immutable};

use crate::layout::{Address, Root};

/// The store's memory, and a loop that the verifier accepts.
///
/// # Safety
/// `object` must return memory that is valid for reads of `T` for as long as the platform is borrowed,
/// and that nobody changes but by single stores of aligned words.
pub unsafe trait Platform {
    /// The root of the store.
    fn root(&self) -> &Root;

    /// The object at an address, or nothing where the address leads nowhere.
    fn object<T: FromBytes + Immutable>(&self, address: Address) -> Option<&T>;

    /// Whether this is the kernel, where an operator may switch the answering off.
    const IS_KERNEL: bool;

    /// The monotonic clock, the coarse kind, in nanoseconds.
    fn now(&self) -> u64;

    /// Calls `step` with 0, 1, 2 … until it says `false`, `times` times at most.
    ///
    /// In the kernel this is `bpf_loop`: the body is verified once, whatever `times` is. A step must
    /// keep its state in the scratch memory, where the verifier does not follow the values.
    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F);
}
