//! Two processes, one after the other, over the same memory: the second maps what the first has left.

use std::{
    fs::File,
    io,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex},
};

use memmap2::{MmapOptions, MmapRaw};
use responder_common::layout::{Root, SEGMENT_BYTES, SEGMENT_SLACK};

use super::{Adopted, Store, StoreOptions, Terms};
use crate::{
    answer::{Answerer, Transport},
    store::{
        limiter,
        memory::{Backing, own},
    },
    zone::{self, Kept, Progress},
};

/// Memory that outlives a process: files without a name.
#[derive(Clone, Default)]
struct Lasting(Arc<Mutex<Vec<File>>>);

impl Lasting {
    fn add(&self, length: u64) -> io::Result<MmapRaw> {
        let file = tempfile::tempfile()?;
        file.set_len(length)?;
        let mapped = MmapOptions::new().map_raw(&file)?;
        self.0.lock().unwrap().push(file);
        Ok(mapped)
    }
}

impl Backing for Lasting {
    fn root(&self) -> io::Result<MmapRaw> {
        if let Some(file) = self.0.lock().unwrap().first() {
            return MmapOptions::new().map_raw(file);
        }
        self.add(size_of::<Root>() as u64)
    }

    fn segment(&self, _: u32) -> io::Result<MmapRaw> {
        self.add(SEGMENT_BYTES + SEGMENT_SLACK)
    }

    fn limits(&self) -> io::Result<MmapRaw> {
        own(limiter::TABLE)
    }

    fn list(&self, _: ipnet::Ipv6Net, _: Option<u32>) -> io::Result<()> {
        Ok(())
    }

    fn found(&self) -> io::Result<Vec<MmapRaw>> {
        self.0.lock().unwrap().iter().skip(1).map(|file| MmapOptions::new().map_raw(file)).collect()
    }

    fn is_lasting(&self) -> bool {
        true
    }

    fn wait(&self) {}
}

const APEX: &[u8] = b"\x04test\0";

fn terms() -> Terms {
    let options = StoreOptions { udp_size: 1232, id: "node".into() };
    Terms { options, addresses: vec![IpAddr::from([192, 0, 2, 53])], port: 53, owner: 7 }
}

fn first(memory: &Lasting) -> Arc<Store> {
    let Terms { options, addresses, port, owner } = terms();
    let store = Store::over(Box::new(memory.clone()), &options).unwrap();
    store.set_service(&addresses, port).unwrap();
    store.set_owner(owner);
    Arc::new(store)
}

fn next(memory: &Lasting) -> Result<Arc<Store>, String> {
    let store = Store::adopt(Box::new(memory.clone()), &terms());
    store.map(Arc::new).map_err(|error| error.to_string())
}

/// A zone of so many hosts.
fn write(file: &Path, serial: u32, hosts: u32) {
    let mut text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n");
    (0..hosts).for_each(|host| text += &format!("host{host} A 192.0.2.{}\n", serial % 200));
    std::fs::write(file, text).unwrap();
}

/// The last octet of a host's address; none where there is no such host.
fn address(store: &Arc<Store>, host: u32) -> Option<u8> {
    let label = format!("host{host}");
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8];
    query.extend_from_slice(label.as_bytes());
    query.extend_from_slice(APEX);
    query.extend_from_slice(&[0, 1, 0, 1]);
    let mut reply = Vec::new();
    Answerer::new(Arc::clone(store)).answer(&query, Transport::Udp, &mut reply);
    (reply[7] == 1).then(|| reply[reply.len() - 1])
}

#[test]
fn the_next_process_answers_what_the_first_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let (file, memory) = (folder.path().join("zone"), Lasting::default());
    write(&file, 7, 30_000);
    let store = first(&memory);
    zone::load(&store, "test.", &file).unwrap();
    store.record(APEX, b"read from a file").unwrap();
    let bytes = store.usage(APEX).unwrap().live;
    drop(store);

    let store = next(&memory).unwrap();
    assert_eq!((address(&store, 29_999), address(&store, 30_000)), (Some(7), None));
    let Adopted { serial, note, bytes: told } = store.adopted(APEX).unwrap();
    assert_eq!((serial, note.trim_ascii_end()), (7, b"read from a file".as_slice()));
    assert!(told.abs_diff(bytes) < 4096, "{told} {bytes}");
    assert!(store.commit(APEX).is_err(), "nobody knows what in its blocks is whose");
    let segments = store.segments();

    // Compiled anew again and again, by one process after the other, it takes no more room.
    let mut store = store;
    for serial in 8..24 {
        write(&file, serial, 30_000);
        zone::load(&store, "test.", &file).unwrap();
        assert!(!store.is_sealed(APEX));
        store.record(APEX, b"again").unwrap();
        drop(store);
        store = next(&memory).unwrap();
        assert_eq!(address(&store, 29_999), Some(serial as u8));
        assert_eq!(store.usage(APEX).unwrap().reserved % 4096, 0);
    }
    assert!(store.segments() <= segments + 1, "{} segments", store.segments());
    assert!(store.remove_zone("test."));
    drop(store);
    let store = next(&memory).unwrap();
    assert_eq!((store.apexes().len(), address(&store, 1)), (0, None));
}

#[test]
fn a_store_in_which_a_version_was_being_made_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (file, archive) = (folder.path().join("zone"), folder.path().join("archive"));
    let mut adopted = 0;
    for stores in 0.. {
        let memory = Lasting::default();
        let store = first(&memory);
        let mut kept = Kept::within(archive.join(stores.to_string()));
        let mut load = || {
            let progress = Progress::default();
            zone::load_keeping(&store, "test.", &file, &progress, &mut kept)
        };
        write(&file, 7, 5000);
        load().unwrap();
        store.record(APEX, b"").unwrap();
        write(&file, 8, 5000);
        let text = std::fs::read_to_string(&file).unwrap();
        // All but two hosts as they were: a commit, not a compilation.
        let text = text.replace("192.0.2.8\n", "192.0.2.7\n");
        let text = text.replace("host17 A 192.0.2.7", "host17 A 192.0.2.8");
        std::fs::write(&file, text.replace("host18 A 192.0.2.7\n", "")).unwrap();
        store.let_the_writer_die(stores);
        let done = catch_unwind(AssertUnwindSafe(|| load().unwrap()));
        let committed = done.as_ref().is_ok_and(|loaded| loaded.committed.is_some());
        drop(store);
        match next(&memory) {
            Ok(store) => {
                adopted += 1;
                assert_eq!(stores, 0, "only before the first store the version is untouched");
                assert_eq!((address(&store, 17), address(&store, 18)), (Some(7), Some(7)));
            }
            Err(error) => assert_eq!(error, "test. was just being changed"),
        }
        if committed {
            assert!(stores > 5, "the commit makes {stores} stores");
            break;
        }
        assert!(done.is_err(), "it was to be a commit");
    }
    assert_eq!(adopted, 1);
}

#[test]
fn a_store_on_other_terms_is_not_gone_on_with() {
    let memory = Lasting::default();
    let store = first(&memory);
    let refusal = |change: &dyn Fn(&mut Terms)| {
        let mut terms = terms();
        change(&mut terms);
        Store::adopt(Box::new(memory.clone()), &terms).err().map(|error| error.to_string())
    };
    assert_eq!(refusal(&|_| {}), None);
    let listens = Some("what the daemon listens on is another".to_owned());
    assert_eq!(refusal(&|terms| terms.port = 54), listens);
    assert_eq!(refusal(&|terms| terms.addresses.clear()), listens);
    let udp_size = refusal(&|terms| terms.options.udp_size = 512);
    assert_eq!(udp_size.as_deref(), Some("limits.udp-size is another"));
    let identity = refusal(&|terms| terms.options.id = "nod".into());
    assert_eq!(identity.as_deref(), Some("node.id is another"));
    assert!(refusal(&|terms| terms.owner = 8).is_some());
    store.set_owner(0);
    assert!(refusal(&|terms| terms.owner = 0).is_some(), "it is nobody's");
}
