//! Any zone text: it is refused with an error, or compiled and then answers for its own names.
#![no_main]

use std::{cell::RefCell, fs, path::PathBuf, sync::Arc};

use libfuzzer_sys::fuzz_target;
use responder::{
    answer::{Answerer, Transport},
    store::{Store, StoreOptions},
    zone,
};
use responder_common::verdict::Action;
use responder_fuzz::{ask, records};
use tempfile::TempDir;

/// A store, and a place for the text.
struct Place {
    store: Arc<Store>,
    host: Answerer,
    reply: Vec<u8>,
    file: PathBuf,
    _folder: TempDir,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new({
        let options = StoreOptions { udp_size: 1232, id: "fuzzed".into() };
        let store = Arc::new(Store::in_memory(&options).expect("memory"));
        // In memory, where this machine has such a folder.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a folder");
        let (host, file) = (Answerer::new(Arc::clone(&store)), folder.path().join("zone"));
        Place { store, host, reply: Vec::new(), file, _folder: folder }
    });
}

fuzz_target!(|text: &[u8]| {
    // What a zone includes is its writer's matter; here it would read files of this machine.
    if text.windows(4).any(|word| word.eq_ignore_ascii_case(b"$INC")) {
        return;
    }
    PLACE.with_borrow_mut(|place| {
        fs::write(&place.file, text).expect("room for the text");
        // The apex never changes, so each zone takes the place of the last.
        if zone::load(&place.store, "example.", &place.file).is_err() {
            return;
        }
        for (owner, rtype) in records("example.", &place.file).into_iter().take(100) {
            let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
            query.extend(&owner);
            query.extend(rtype.to_be_bytes());
            query.extend([0, 1, 0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
            for transport in [Transport::Udp, Transport::Tcp] {
                let verdict = ask(&mut place.host, &query, transport, &mut place.reply);
                assert_eq!(verdict.action(), Action::Reply, "{owner:02x?} {rtype}");
                // NOERROR, NXDOMAIN (below a DNAME that leads nowhere) or YXDOMAIN.
                assert!(matches!(place.reply[3] & 15, 0 | 3 | 6), "{owner:02x?} {rtype}");
            }
        }
    });
});
