//! Going on with the store of a process that has ended.
//!
//! Readers need nothing but what stands in the store. A writer must also know which blocks a zone holds;
//! that, and whatever the caller wants to know of the version, stands in a ledger that the snapshot names
//! once the version is complete ([`Store::record`]). A commit takes the ledger away before its first store
//! to published memory. So a store in which every zone has a ledger is one that nobody was changing: what no
//! ledger lists is free, and nothing leads there.
//!
//! What in its blocks is whose, nobody knows any more: the zone is sealed. It is answered from as any other;
//! its next version is compiled as a whole, and the blocks are given back.

use std::{io, mem::offset_of, net::IpAddr};

use responder_common::layout::{Address, LAYOUT_VERSION, Root, Snapshot, UNIT, ZONE_SLOTS};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Store, StoreOptions, Writer, limiter,
    memory::{Backing, Memory},
    publish::Served,
    space::{Block, Holding, PAGES, Space},
};

/// What the zones of this program are compiled by: a sum of the sources.
pub const COMPILER: u64 = parse(env!("RESPONDER_COMPILER"));

/// What a store must be like, so that a daemon may go on with it.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What every reply depends on.
    pub options: StoreOptions,
    /// `listen.addresses`.
    pub addresses: Vec<IpAddr>,
    /// `listen.port`.
    pub port: u16,
    /// Whose it is: never zero, and different for whatever daemon may run beside.
    pub owner: u64,
}

/// A zone that another process compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The SOA's serial.
    pub serial: u32,
    /// Octets in use.
    pub bytes: u64,
    /// What [`Store::record`] was given.
    pub note: Vec<u8>,
}

/// The head of a ledger; blocks follow, two words each, then the note.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct Ledger {
    index_used: u64,
    live: u64,
    blocks: u32,
    note: u32,
}

impl Ledger {
    fn octets(blocks: usize, note: usize) -> u64 {
        (size_of::<Self>() + blocks * 8 + note) as u64
    }
}

impl Store {
    /// Goes on with a store that another process has left.
    ///
    /// # Errors
    /// Why it cannot be gone on with: one line. Nothing has been changed.
    pub fn adopt(backing: Box<dyn Backing>, terms: &Terms) -> io::Result<Self> {
        let limiter = limiter::State::new(backing.limits()?);
        let memory = Memory::new(backing)?;
        agrees(memory.root(), terms)?;
        let mut store = Self::with(memory, limiter);
        let mut writer = Writer::default();
        let mut taken = vec![false; store.memory.segments() as usize * PAGES];
        for place in 0..ZONE_SLOTS {
            let address = store.memory.root().zones[place].snapshot;
            if address == 0 {
                continue;
            }
            let (apex, served) = store.served(place, address)?;
            for page in served.holding.blocks().iter().flat_map(|block| block.pages()) {
                match taken.get_mut(page) {
                    Some(taken) if !*taken => *taken = true,
                    _ => return Err(io::Error::other("two zones hold the same block")),
                }
            }
            writer.directory.insert(apex, served);
        }
        for (page, _) in taken.iter().enumerate().filter(|(_, taken)| !**taken) {
            writer.space.give(&[Block::page(page)]);
        }
        store.writer = writer.into();
        Ok(store)
    }

    /// What the zone table's place leads to.
    fn served(&self, slot: usize, address: Address) -> io::Result<(Vec<u8>, Served)> {
        let broken = || io::Error::other("a zone's place in the table leads nowhere");
        let snapshot: &Snapshot = self.memory.object(address).ok_or_else(broken)?;
        let apex = snapshot.name.as_bytes()[..usize::from(snapshot.apex_length)].to_vec();
        if self.memory.root().zones[slot].hash != self.apex_hash(&apex) {
            return Err(broken());
        }
        let Some((ledger, blocks, _)) = self.ledger(snapshot.ledger) else {
            let name = crate::zone::name::to_text(&apex);
            return Err(io::Error::other(format!("{name} was just being changed")));
        };
        let served = Served {
            // Set when it enters the directory.
            incarnation: 0,
            slot,
            holding: Holding::sealed(blocks, ledger.live),
            version: snapshot.version,
            snapshot: address,
            index_used: ledger.index_used,
            fading: Vec::new(),
            lent: false,
            sealed: true,
        };
        Ok((apex, served))
    }

    /// Completes the version of a zone that is served: whoever goes on with the store goes on with it, and
    /// is told `note`. Nothing is done where nobody can go on with the store.
    ///
    /// # Errors
    /// When the store is full, or the zone is not served or being changed.
    pub fn record(&self, apex: &[u8], note: &[u8]) -> io::Result<()> {
        if !self.memory.is_lasting() {
            return Ok(());
        }
        let (holding, snapshot, index_used, incarnation) = {
            let mut writer = self.writer();
            let zone = writer.directory.zones.get_mut(apex).filter(|zone| !zone.lent);
            let zone = zone.ok_or_else(|| io::Error::other("the zone is not served"))?;
            if zone.sealed {
                return Err(io::Error::other("the zone was compiled by another process"));
            }
            zone.lent = true;
            let holding = std::mem::take(&mut zone.holding);
            (holding, zone.snapshot, zone.index_used, zone.incarnation)
        };
        let mut space = Space::within(self, holding);
        let written = self.write_ledger(&mut space, index_used, note);
        let mut holding = match written {
            Ok(_) => space.into_holding(),
            Err(_) => space.take_back(),
        };
        let mut writer = self.writer();
        let Some(zone) = writer.lent_zone(apex, incarnation) else {
            drop(writer);
            self.reclaim(holding);
            return Err(io::Error::other("the zone was removed"));
        };
        if let Ok(address) = written {
            let former = self.memory.object::<Snapshot>(snapshot).map_or(0, |zone| zone.ledger);
            self.set_ledger(snapshot, address);
            if let Some(octets) = self.ledger_octets(former) {
                holding.give(former, octets.div_ceil(UNIT) as Address);
            }
        }
        zone.holding = holding;
        zone.lent = false;
        written.map(drop)
    }

    /// What another process compiled and is still served so, by the apex in lower-case wire form.
    pub fn adopted(&self, apex: &[u8]) -> Option<Adopted> {
        let writer = self.writer();
        let zone = writer.directory.zones.get(apex).filter(|zone| zone.sealed)?;
        let snapshot: &Snapshot = self.memory.object(zone.snapshot)?;
        let (ledger, _, note) = self.ledger(snapshot.ledger)?;
        Some(Adopted { serial: snapshot.serial, bytes: ledger.live, note: note.to_vec() })
    }

    /// Whether a zone is still served as another process compiled it.
    pub fn is_sealed(&self, apex: &[u8]) -> bool {
        self.writer().directory.zones.get(apex).is_some_and(|zone| zone.sealed)
    }

    /// The apexes of all zones that are served.
    pub fn apexes(&self) -> Vec<Vec<u8>> {
        self.writer().directory.zones.keys().cloned().collect()
    }

    /// Says whose the store is, once whoever goes on with it would find it whole.
    pub fn set_owner(&self, owner: u64) {
        // SAFETY: a word of the root that no reader of zones looks at.
        unsafe { (*self.memory.root_mut()).owner = owner };
    }

    /// Notes that a version is being changed.
    pub(super) fn end_ledger(&self, apex: &[u8], incarnation: u64) {
        if let Some(zone) = self.writer().lent_zone(apex, incarnation) {
            self.set_ledger(zone.snapshot, 0);
        }
    }

    /// Octets of a ledger, if there is one.
    pub(super) fn ledger_octets(&self, address: Address) -> Option<u64> {
        let (_, blocks, note) = self.ledger(address)?;
        Some(Ledger::octets(blocks.len(), note.len()))
    }

    fn set_ledger(&self, snapshot: Address, ledger: Address) {
        const WORD: usize = offset_of!(Snapshot, ledger) / UNIT as usize;
        const { assert!(offset_of!(Snapshot, ledger) % UNIT as usize == 0) };
        self.memory.store_word(snapshot + WORD as Address, u64::from(ledger));
    }

    fn write_ledger(
        &self,
        space: &mut Space<'_>,
        index_used: u64,
        note: &[u8],
    ) -> io::Result<Address> {
        // Room for the block that this may take.
        let length = Ledger::octets(space.blocks().len() + 1, note.len());
        let address = space.take(length, 64)?;
        space.fits()?;
        let blocks: Vec<u32> = space.blocks().iter().flat_map(|block| block.words()).collect();
        // As long as what was taken, so that it can be given back whole.
        let padding = length - Ledger::octets(blocks.len() / 2, note.len());
        let note = [note, &vec![b' '; padding as usize]].concat();
        let head = Ledger {
            index_used,
            live: space.used(),
            blocks: blocks.len() as u32 / 2,
            note: note.len() as u32,
        };
        space.write(address, &[head.as_bytes(), blocks.as_bytes(), &note].concat());
        Ok(address)
    }

    /// A ledger's head, blocks and note; none where there is none that can be read.
    fn ledger(&self, address: Address) -> Option<(Ledger, Vec<Block>, &[u8])> {
        let head = (address != 0).then(|| self.memory.octets(address, size_of::<Ledger>()))??;
        let ledger = Ledger::read_from_bytes(head).ok()?;
        let length = Ledger::octets(ledger.blocks as usize, ledger.note as usize);
        let octets = self.memory.octets(address, usize::try_from(length).ok()?)?;
        let (blocks, note) = octets[size_of::<Ledger>()..].split_at(ledger.blocks as usize * 8);
        let word = |octets: &[u8]| u32::from_ne_bytes(octets.try_into().expect("four octets"));
        let block = |octets: &[u8]| Block::of([word(&octets[..4]), word(&octets[4..])]);
        Some((ledger, blocks.chunks_exact(8).map(block).collect::<Option<_>>()?, note))
    }
}

/// Whether a root is one that this program, so configured, would write.
fn agrees(root: &Root, terms: &Terms) -> io::Result<()> {
    let judge = |agrees, what: &str| match agrees {
        true => Ok(()),
        false => Err(io::Error::other(format!("{what} is another"))),
    };
    judge(root.layout == LAYOUT_VERSION, "the layout")?;
    judge(root.compiler == COMPILER, "the program that compiled the zones")?;
    judge(root.owner == terms.owner && terms.owner != 0, "the state directory")?;
    let like = Store::in_memory(&terms.options)?;
    like.set_service(&terms.addresses, terms.port)?;
    let wanted = like.memory.root();
    judge(root.udp_size == wanted.udp_size, "limits.udp-size")?;
    let identity = |root: &Root| (root.nsid_length, root.nsid);
    judge(identity(root) == identity(wanted), "node.id")?;
    let lengths = |root: &Root| (root.addresses4_length, root.addresses6_length, root.port);
    let addresses = |root: &Root| (root.addresses4, root.addresses6);
    let listens = lengths(root) == lengths(wanted) && addresses(root) == addresses(wanted);
    judge(listens, "what the daemon listens on")
}

/// A number as the build script writes it.
const fn parse(text: &str) -> u64 {
    let (octets, mut value, mut at) = (text.as_bytes(), 0_u64, 0);
    while at < octets.len() {
        value = value * 10 + (octets[at] - b'0') as u64;
        at += 1;
    }
    value
}

#[cfg(test)]
mod tests;
