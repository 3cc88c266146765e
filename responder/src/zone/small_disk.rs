//! A small file system for tests that fill it.

use std::{ffi::CString, io, path::Path};

/// Mounts a file system of so many octets on a folder, for the calling thread and those that it starts from
/// now on; it goes with them. Needs root.
pub fn mount(folder: &Path, octets: usize) {
    let folder = CString::new(folder.as_os_str().as_encoded_bytes()).unwrap();
    let size = CString::new(format!("size={octets}")).unwrap();
    let none = std::ptr::null();
    let done = |result| assert_eq!(result, 0, "needs root: {}", io::Error::last_os_error());
    // SAFETY: plain system calls with strings that end in zero octets.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS));
        done(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()));
        let tmpfs = c"tmpfs".as_ptr();
        done(libc::mount(c"none".as_ptr(), folder.as_ptr(), tmpfs, 0, size.as_ptr().cast()));
    }
}
