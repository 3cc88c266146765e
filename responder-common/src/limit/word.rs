//! Words that processors share: each load and store is a single one, and no order among them matters.

use core::cell::UnsafeCell;

/// Such a word, of a width.
macro_rules! shared {
    ($(#[$doc:meta])* $name:ident, $number:ty, $atomic:ident) => {
        $(#[$doc])*
        #[derive(Default)]
        #[repr(transparent)]
        pub struct $name(UnsafeCell<$number>);

        // SAFETY: loads and stores are single and aligned; no order among them matters.
        unsafe impl Sync for $name {}

        impl $name {
            /// The number.
            #[inline(always)]
            pub fn load(&self) -> $number {
                // LLVM 22 knows no atomic loads for BPF, where a volatile one is the same.
                #[cfg(target_arch = "bpf")]
                // SAFETY: a reference is valid for reads.
                return unsafe { core::ptr::read_volatile(self.0.get()) };
                #[cfg(not(target_arch = "bpf"))]
                self.shared().load(core::sync::atomic::Ordering::Relaxed)
            }

            /// Changes the number.
            #[inline(always)]
            pub fn store(&self, value: $number) {
                #[cfg(target_arch = "bpf")]
                // SAFETY: as above, and the cell may be written.
                unsafe {
                    core::ptr::write_volatile(self.0.get(), value);
                };
                #[cfg(not(target_arch = "bpf"))]
                self.shared().store(value, core::sync::atomic::Ordering::Relaxed);
            }

            #[cfg(not(target_arch = "bpf"))]
            fn shared(&self) -> &core::sync::atomic::$atomic {
                // SAFETY: the same size and alignment, and nobody looks at the word otherwise.
                unsafe { core::sync::atomic::$atomic::from_ptr(self.0.get()) }
            }
        }
    };
}

shared!(
    /// Eight octets: an account.
    Word,
    u64,
    AtomicU64
);
shared!(
    /// Four octets: a time.
    Time,
    u32,
    AtomicU32
);
