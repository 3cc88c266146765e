extern crate std;

use std::{boxed::Box, cell::Cell, vec::Vec};

use zerocopy::{FromBytes, FromZeros as _, Immutable};

use super::{CELLS, FINE, GLIMPSES, REPLIES};
use crate::{
    layout::{Address, Root},
    limit::{
        LINES, Limiter, Line, OCTETS, TABLE, TICK,
        bucket::{Bucket, DEBT},
        judge, line, refund, switch,
    },
    platform::Platform,
    scratch::Scratch,
    verdict::{Next, Verdict},
};

/// A tenth of a second, and replies at 100 a second.
const BURST: u32 = 100_000;
const COST: u32 = 10_000;
/// Octets that cost as much as a reply.
const OCTETS_OF_A_REPLY: u32 = 256;

/// A limiter with a clock of the test's own.
struct Place {
    root: Box<Root>,
    lines: Vec<Line>,
    /// Ticks.
    now: Cell<u32>,
}

// SAFETY: it gives no objects.
unsafe impl Platform for Place {
    const IS_KERNEL: bool = false;

    fn root(&self) -> &Root {
        &self.root
    }

    fn object<T: FromBytes + Immutable>(&self, _: Address) -> Option<&T> {
        None
    }

    fn now(&self) -> u64 {
        u64::from(self.now.get()) * TICK
    }

    fn repeat<F: FnMut(u32) -> bool>(&self, _: u32, _: F) {}
}

impl Limiter for Place {
    fn line(&self, number: u32) -> Option<&Line> {
        self.lines.get(number as usize)
    }

    fn listed(&self, _: u32, _: [u64; 2]) -> u32 {
        0
    }

    fn count_over(&self, _: Verdict) {}
}

impl Place {
    /// Positive answers and errors have the rate above, and so have octets; what lies around has ten times that.
    fn new() -> (Self, Box<Scratch>) {
        let mut root = Box::new(Root::new_zeroed());
        root.multiplier = 0x9e37_79b9_7f4a_7c15;
        root.limiting = switch::REPLIES | switch::ENFORCE;
        let limits = &mut root.limits;
        (limits.mask4, limits.mask4_wide) = (!0xff, !0xffff);
        (limits.burst, limits.octets, limits.octets_wide) = (BURST, COST, COST / 10);
        limits.costs[0] = [COST, 0, 0, COST];
        let lines = (0..TABLE).map(|_| Line::default()).collect();
        let mut s = Box::new(Scratch::new_zeroed());
        s.version.set(4);
        s.limit.set(1232);
        (Self { root, lines, now: Cell::new(0) }, s)
    }

    /// Judges a reply so much longer than its query: whether it is within the rate.
    fn grants(&self, s: &mut Scratch, source: u32, verdict: Verdict, octets: u32) -> bool {
        s.client.set([u64::from(address(source).to_be()), 0]);
        s.verdict.set(verdict as u32);
        s.query_length.set(30);
        s.size.set(30 + octets);
        s.opt_length.set(0);
        // The noise of the counts: the query's identifier.
        let identifier = u32::from(s.message[0]) << 8 | u32::from(s.message[1]);
        s.message[..2].copy_from_slice(&(identifier.wrapping_mul(5) + 12_345).to_le_bytes()[..2]);
        for account in &mut s.charged {
            account.set(0);
        }
        matches!(judge(self, s, false), Next::Continue)
    }

    fn positive(&self, s: &mut Scratch, source: u32) -> bool {
        self.grants(s, source, Verdict::Positive, 0)
    }

    /// Time goes on.
    fn wait(&self, ticks: u32) {
        self.now.set(self.now.get().wrapping_add(ticks));
    }

    /// Lines that a source has.
    fn taken(&self) -> usize {
        self.lines[..LINES].iter().filter(|line| line.source() != 0).count()
    }
}

/// The /24 of a source.
fn address(source: u32) -> u32 {
    (64 << 24) + (source << 8)
}

/// Numbers that look random.
fn draw(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 8
}

#[test]
fn a_source_with_a_cell_for_itself_is_judged_as_if_there_was_no_sieve() {
    // Its rate and less, a little more, ten times; evenly, at random, in gusts; over the clock's end.
    for interval in [COST * 2, COST * 21 / 20, COST * 19 / 20, COST / 10] {
        for start in [5, u32::MAX - 3 * DEBT, 1 << 31] {
            let (place, mut s) = Place::new();
            place.now.set(start);
            let (mut alone, mut random, mut granted) = (Bucket::new(0), 1, 0);
            alone.time = start;
            for n in 0..20_000_u32 {
                let pause = match n / 1000 % 3 {
                    0 => interval,
                    1 => draw(&mut random) % (2 * interval),
                    _ => interval * 8 * u32::from(n % 8 == 0),
                };
                place.wait(pause);
                let octets = draw(&mut random) % OCTETS_OF_A_REPLY;
                let grants = place.grants(&mut s, 7, Verdict::Positive, octets);
                let over = alone.charge(COST, BURST, place.now.get());
                assert_eq!(grants, !over, "{interval} from {start}: {n}");
                granted += u32::from(grants);
            }
            if interval >= COST * 2 {
                assert!(granted > 19_000, "{granted} within the rate");
            } else if interval <= COST / 10 {
                assert!(granted <= 12, "{granted} at ten times the rate");
            }
        }
    }
}

#[test]
fn no_number_and_no_mixture_of_sources_is_granted_more_than_without_a_sieve() {
    let (mut place, mut s) = Place::new();
    place.root.limits.octets_wide = 0;
    // So many that cells are shared, but of the pairs of lines none by more than two, who would inherit debts.
    let mut pairs = std::vec![0; LINES / 2];
    let sources: Vec<u32> = (1..)
        .filter(|source| {
            let pair =
                &mut pairs[line::home(&place, address(*source).into(), REPLIES) as usize / 2];
            *pair += 1;
            *pair <= 2
        })
        .take(CELLS)
        .collect();
    let mut alone: Vec<_> = sources.iter().map(|_| [Bucket::new(0); 2]).collect();
    let mut random = 3;
    let (mut more, mut less, mut granted) = (0, 0, 0);
    for n in 0..2_000_000_u32 {
        place.wait(n % 2);
        // A few of them ask for most.
        let at = (draw(&mut random) % if n % 4 == 0 { CELLS as u32 } else { 50 }) as usize;
        let octets = draw(&mut random) % (3 * OCTETS_OF_A_REPLY);
        let grants = place.grants(&mut s, sources[at], Verdict::Positive, octets);
        let now = place.now.get();
        let [class, all] = &mut alone[at];
        let over = class.charge(COST, BURST, now);
        let over = all.charge((octets * COST) >> 8, BURST, now) || over;
        more += u32::from(grants && over);
        less += u32::from(!grants && !over);
        granted += u32::from(grants);
    }
    assert_eq!(more, 0);
    // Those have a line of their own, or took over another's debt; those around them are over their rate, too.
    assert!(
        granted > 300_000 && less < granted,
        "{granted} granted, {less} not that would have been"
    );
}

#[test]
fn below_its_rate_a_source_takes_no_line_and_is_counted_all_the_same() {
    let (place, mut s) = Place::new();
    let sources = 1000;
    for n in 0..400 * sources {
        place.wait(COST / 100);
        assert!(place.positive(&mut s, (n % sources) << 8), "a tenth of the rate");
    }
    let seen: u64 = place.lines[..LINES]
        .iter()
        .flat_map(Line::accounts)
        .filter(|(tag, _)| *tag == 0)
        .map(|(_, bucket)| bucket.seen())
        .sum();
    let all = u64::from(400 * sources);
    assert!((all * 9 / 10..all * 11 / 10).contains(&seen), "{seen} of {all}");
    // One reply of so many is: not every source's in a short time.
    let (place, mut s) = Place::new();
    for n in 0..sources {
        assert!(place.positive(&mut s, n << 8));
    }
    let glimpses = (sources >> GLIMPSES) as usize;
    assert!(place.taken().abs_diff(glimpses) <= 3, "{}", place.taken());
}

#[test]
fn whose_cell_a_flood_fills_has_an_eighth_less_of_the_burst_and_its_whole_rate() {
    let (place, mut s) = Place::new();
    let cell = |source| super::cell(&place, address(source).into());
    let neighbour = (8..).find(|source| cell(*source) == cell(7)).expect("one of so many cells");
    for _ in 0..1000 {
        place.positive(&mut s, 7);
    }
    assert!(!place.positive(&mut s, 7));
    let granted = (0..100).filter(|_| place.positive(&mut s, neighbour)).count();
    let (burst, fine) = ((BURST / COST) as usize, ((BURST >> FINE) / COST) as usize);
    assert!((burst - fine - 1..=burst).contains(&granted), "{granted}");
    // Its debt is its own, and when it is paid it has its rate, whatever the other asks for.
    place.wait(DEBT + BURST);
    for _ in 0..1000 {
        place.wait(COST);
        assert!(place.positive(&mut s, neighbour));
        for _ in 0..10 {
            place.positive(&mut s, 7);
        }
    }
}

#[test]
fn what_is_paid_back_was_never_charged() {
    let (place, mut s) = Place::new();
    for _ in 0..1000 {
        assert!(place.grants(&mut s, 7, Verdict::Positive, OCTETS_OF_A_REPLY / 2));
        refund(&place, &s);
    }
    // Up to the end of the burst, too, where the accounts are asked.
    for _ in 0..BURST / COST - 1 {
        assert!(place.positive(&mut s, 7));
    }
    for _ in 0..1000 {
        assert!(place.positive(&mut s, 7));
        refund(&place, &s);
    }
    assert!(place.positive(&mut s, 7) && !place.positive(&mut s, 7));
}

#[test]
fn a_cell_that_nobody_charged_for_long_takes_an_eighth_at_the_most_whatever_the_time() {
    for now in [0, 1, BURST, 1 << 31, u32::MAX - BURST, u32::MAX] {
        // Never charged, and charged 73 minutes ago.
        for before in [None, Some(now.wrapping_sub(BURST)), Some(now.wrapping_add(BURST / 2))] {
            let (place, mut s) = Place::new();
            if let Some(before) = before {
                place.now.set(before);
                (0..5).for_each(|_| assert!(place.positive(&mut s, 7)));
            }
            place.now.set(now);
            let granted = (0..100).filter(|_| place.positive(&mut s, 9)).count();
            assert!((8..=10).contains(&granted), "{now}: {granted}");
        }
    }
}

#[test]
fn what_lies_around_is_bounded_however_evenly_its_sources_ask() {
    let (place, mut s) = Place::new();
    // 256 sources of one /16, each at four tenths of its rate: ten times what all may have.
    let (mut went, replies) = (0, 100_000);
    for n in 0..replies {
        place.wait(COST / 100);
        if place.grants(&mut s, 256 + n % 256, Verdict::NoData, OCTETS_OF_A_REPLY) {
            went += u64::from(OCTETS_OF_A_REPLY);
        }
    }
    let time = u64::from(place.now.get());
    let allowed = (time + u64::from(BURST)) * 10 * u64::from(OCTETS_OF_A_REPLY) / u64::from(COST);
    // Each may keep 4096 octets back before it is asked.
    assert!(went <= allowed + 256 * 4096, "{went} of {allowed}");
    assert!(place.lines[..LINES].iter().any(|line| line.bucket(OCTETS).count != 0));
}
