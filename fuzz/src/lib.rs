//! What the targets share: stores with zones in them, and a judge of replies.

#[path = "../../responder/tests/fuzz/judge.rs"]
pub mod judge;

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use responder::{
    answer::{Answerer, Transport},
    store::{Store, StoreOptions},
    strict,
    zone::{self, read},
};
use responder_common::verdict::{Action, Verdict};

/// The zones of one folder, loaded.
pub struct World {
    /// The engine over them.
    pub host: Answerer,
    /// Their names, in wire form.
    pub names: Vec<Vec<u8>>,
    /// The reply in the making.
    pub reply: Vec<u8>,
}

/// A world for each folder that `RESPONDER_FUZZ_ZONES` names (with colons between), which
/// `cargo xtask fuzz` sets to the sample zones as they are and signed in each way; else the samples.
pub fn worlds() -> Vec<World> {
    let samples = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../zones"));
    let folders = env::var_os("RESPONDER_FUZZ_ZONES")
        .map_or_else(|| vec![samples()], |list| env::split_paths(&list).collect());
    folders.iter().map(|folder| World::load(folder)).collect()
}

impl World {
    fn load(folder: &Path) -> Self {
        let options = StoreOptions { udp_size: 1232, id: "fuzzed".into() };
        let store = Arc::new(Store::in_memory(&options).expect("memory"));
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).expect("a folder of zones") {
            let file = entry.expect("readable").path();
            if file.extension().is_none_or(|extension| extension != "zone") {
                continue;
            }
            let apex = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            zone::load(&store, &apex, &file).unwrap_or_else(|error| panic!("{error}"));
            names.extend(records(&apex, &file).into_iter().map(|(owner, _)| owner));
        }
        let names = names.into_iter().collect();
        Self { host: Answerer::new(store), names, reply: Vec::new() }
    }

    /// Has a query answered and judges the reply.
    pub fn ask(&mut self, query: &[u8], transport: Transport) -> Verdict {
        ask(&mut self.host, query, transport, &mut self.reply)
    }
}

/// Has a query answered; whatever it is, the engine must know what to do and the reply must be sound.
pub fn ask(
    host: &mut Answerer,
    query: &[u8],
    transport: Transport,
    reply: &mut Vec<u8>,
) -> Verdict {
    let verdict = host.verdict(query, transport, reply);
    assert!(!matches!(verdict, Verdict::Fault | Verdict::Torn), "{verdict:?} to {query:02x?}");
    if verdict.action() == Action::Reply {
        judge::message(query, reply)
            .unwrap_or_else(|fault| panic!("{fault}: {reply:02x?} to {query:02x?}"));
        let parsed = strict::Message::parse(reply).expect("judged");
        assert!(!(parsed.header.tc && transport == Transport::Tcp), "truncated over TCP");
    }
    verdict
}

/// What there is in a zone that can be read: owners and types.
pub fn records(apex: &str, file: &Path) -> BTreeSet<(Vec<u8>, u16)> {
    let mut records = BTreeSet::new();
    let apex = zone::name::from_text(apex).expect("loaded under this name");
    read::read(&apex, file, &read::Limits::default(), &mut |record| {
        records.insert((record.owner.to_vec(), record.rtype));
        Ok(())
    })
    .expect("just loaded");
    records
}
