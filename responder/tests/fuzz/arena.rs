//! The programs and the host's engine over the same zones, side by side.

use std::{
    collections::BTreeSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use responder::{
    answer::Answerer,
    dataplane::{
        DataPlane,
        trial::{FRAME_MAX, HookPoint},
    },
    store::{Store, StoreOptions},
    zone::{self, read},
};
use responder_common::verdict::{Action, COUNTERS, Verdict};

use super::{
    corpus::Known,
    judge, link,
    refereeing::{
        peers::Zone,
        sign::{Denial, sign},
    },
};

/// What a plane serves and how.
pub struct Variant {
    /// How its zones are signed.
    pub label: &'static str,
    zones: Vec<Zone>,
    udp_size: u16,
    /// Whether it is told its addresses; else every address is its own.
    addressed: bool,
}

/// The sample zones in every variant. Signed files stand in `folder`.
pub fn variants(folder: &Path) -> io::Result<Vec<Variant>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    let plain = Zone::all_in(&samples.canonicalize()?)?;
    let mut variants =
        vec![Variant { label: "unsigned", zones: plain.clone(), udp_size: 1232, addressed: false }];
    for (label, denial, udp_size, addressed) in [
        ("NSEC", Denial::Nsec, 4096, false),
        ("NSEC3", Denial::Nsec3, 1232, true),
        ("opt-out", Denial::Nsec3OptOut, 1400, false),
    ] {
        let signed = |zone: &Zone| {
            // kzonesign writes LOC and URI as text, which our reader takes in the form of RFC 3597 only.
            if zone.apex.to_string() == "rare.example." {
                return Ok(zone.clone());
            }
            sign(zone, denial, folder)
        };
        let zones = plain.iter().map(signed).collect::<io::Result<_>>()?;
        variants.push(Variant { label, zones, udp_size, addressed });
    }
    Ok(variants)
}

/// A loaded program for each hook, the host's engine, and what both ought to have counted.
pub struct Plane {
    /// The variant's label.
    pub label: &'static str,
    /// What there is to ask about.
    pub known: Known,
    programs: DataPlane,
    host: Answerer,
    expected: [[u64; COUNTERS]; 2],
    reply: Vec<u8>,
    out: Box<[u8; FRAME_MAX]>,
}

impl Plane {
    /// Loads the programs and the variant's zones.
    pub fn load(variant: &Variant) -> Self {
        let options = StoreOptions { udp_size: variant.udp_size, id: "fuzzed".into() };
        let (programs, store) = DataPlane::load(&options)
            .unwrap_or_else(|error| panic!("this needs root and BPF: {error:#}"));
        if variant.addressed {
            let addresses = [link::OURS_V4.into(), link::OURS_V6.into()];
            store.set_service(&addresses, 53).expect("room for two addresses");
        }
        let known = serve(&store, &variant.zones);
        Self::new(variant.label, programs, Answerer::new(store), known)
    }

    /// Programs and an engine that may be over another store, to see that a difference is noticed.
    pub fn new(label: &'static str, programs: DataPlane, host: Answerer, known: Known) -> Self {
        Self {
            label,
            known,
            programs,
            host,
            expected: [[0; COUNTERS]; 2],
            reply: Vec::with_capacity(FRAME_MAX),
            out: Box::new([0; FRAME_MAX]),
        }
    }

    /// Gives both the frame; what the host said of it.
    ///
    /// # Errors
    /// What differs, or what is wrong with both.
    pub fn compare(&mut self, query: &[u8]) -> Result<Verdict, String> {
        let mut said = Verdict::Fault;
        let mut judged = false;
        for (hook, expected) in HOOKS.into_iter().zip(&mut self.expected) {
            let host = || self.host.frame(hook, query, &mut self.reply);
            let mut verdict = catch_unwind(AssertUnwindSafe(host))
                .map_err(|_| format!("{hook:?}: the host panics"))?;
            said = verdict;
            let run = match self.programs.trial_into(hook, query, &mut self.out[..]) {
                Ok(run) => run,
                // No test run makes an skb of less than its IP header; a driver's frame may be so.
                Err(_) if hook == HookPoint::Tc && query.len() < link::SHORTEST_SKB => continue,
                Err(error) => return Err(format!("{hook:?}: the kernel refuses the run: {error}")),
            };
            let out = &self.out[..run.length];
            let full = hook == HookPoint::Xdp && self.reply.len() > ROOM;
            if full && run.action == Action::Pass {
                verdict = Verdict::NoRoom;
            }
            expected[verdict as usize] += 1;
            if run.action != verdict.action() {
                let action = run.action;
                return Err(format!("{hook:?}: action {action:?}, the host's {verdict:?}"));
            }
            match run.action {
                Action::Reply if out != self.reply => {
                    return Err(format!("{hook:?}: octets of {verdict:?}"));
                }
                Action::Reply => {
                    let fault = |fault| format!("{hook:?}: {verdict:?}: {fault}");
                    let at = judge::headers(hook, query, out).map_err(fault)?;
                    if !judged {
                        // The next hook's message is the host's too.
                        judge::message(&query[at..], &out[at..]).map_err(fault)?;
                        judged = true;
                    }
                }
                Action::Pass if out != query => {
                    return Err(format!("{hook:?}: changed, though passed as {verdict:?}"));
                }
                Action::Pass | Action::Drop => {}
            }
        }
        Ok(said)
    }

    /// The same, the programs' counters included.
    ///
    /// # Errors
    /// What differs.
    pub fn compare_counted(&mut self, query: &[u8]) -> Result<Verdict, String> {
        self.expected = self.counted();
        let verdict = self.compare(query)?;
        self.check_counters()?;
        Ok(verdict)
    }

    /// Whether the programs have counted what the host said since they were loaded.
    ///
    /// # Errors
    /// The first counter that differs.
    pub fn check_counters(&self) -> Result<(), String> {
        for ((hook, expected), counted) in HOOKS.iter().zip(&self.expected).zip(self.counted()) {
            for verdict in Verdict::ALL {
                let (ours, theirs) = (expected[*verdict as usize], counted[*verdict as usize]);
                if ours != theirs {
                    let label = verdict.label();
                    return Err(format!("{hook:?}: counter {label} is {theirs}, not {ours}"));
                }
            }
        }
        Ok(())
    }

    fn counted(&self) -> [[u64; COUNTERS]; 2] {
        let counters = self.programs.counters();
        [counters.xdp, counters.tc].map(|by_label| {
            let mut row = [0; COUNTERS];
            for verdict in Verdict::ALL {
                row[*verdict as usize] = by_label.get(verdict.label()).copied().unwrap_or(0);
            }
            row
        })
    }
}

const HOOKS: [HookPoint; 2] = [HookPoint::Xdp, HookPoint::Tc];

/// Frames beyond this need not fit a test run of XDP: a page less its head room and the kernel's own
/// record at its end (256 and 320 octets on x86-64), and some slack for other kernels.
const ROOM: usize = 3400;

/// Loads zones into a store; what there is in them.
pub fn serve(store: &Arc<Store>, zones: &[Zone]) -> Known {
    let mut known = Known::default();
    for Zone { apex, file } in zones {
        zone::load(store, &apex.to_string(), file).unwrap_or_else(|error| panic!("{error}"));
        let mut records = BTreeSet::new();
        read::read(apex.wire(), file, &read::Limits::default(), &mut |record| {
            records.insert((record.owner.to_vec(), record.rtype));
            Ok(())
        })
        .expect("just loaded");
        known.add(records.into_iter().collect());
    }
    known
}
