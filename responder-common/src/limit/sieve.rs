//! Before the table: most replies go to sources far below their rate, whose lines need not be looked at.
//!
//! A line is in no cache as a rule, and waiting for it cost more than a tenth of a reply. The sieve is small and
//! stays in the cache. Each of its cells is the time of a bucket ([`super::bucket`]) that all sources of one keyed
//! hash share, charged for each reply as much as the dearest of the source's accounts would be: so no account of
//! any of them is further ahead than the cell. While the cell is not ahead by more than [`FINE`] of the burst,
//! the reply goes, and no account is charged. Beyond that the accounts are asked, each of which has then used up
//! what the cell had while nobody looked, or more.
//!
//! So nobody is granted more than the accounts by themselves would grant; a source that has its cell for itself is
//! judged just as by them; one whose cell others fill up has the eighth of a burst less, and nothing else.
//! Where so much is asked that all cells are full, every reply is charged to its accounts.

use super::{Limiter, Line, OCTETS_WIDE, account, account::REPLIES, bucket::Bucket, line};
use crate::scratch::{OF_CELL, Scratch};

/// Cells of sources: 64 KiB, which a processor's own cache keeps beside all else. A million replies a second are 61
/// for each.
pub const CELLS: usize = 1 << 14;
/// Cells of what lies around them: 8 KiB.
pub const CELLS_WIDE: usize = 1 << 11;
/// Cells of a line.
const WIDTH: u32 = 16;
/// Lines of the sieve, which stand behind those of the sources.
pub const LINES: usize = (CELLS + CELLS_WIDE) / WIDTH as usize;
/// What part of the burst a cell may have used up, as a shift: an eighth.
const FINE: u32 = 3;

/// Of replies that go unseen one of so many, as a shift, is charged to its accounts all the same, and counted
/// for all of them: who asks most is known of those below their rate, too.
pub const GLIMPSES: u32 = 5;

/// Charges a source's cell, and that of what lies around it, so many ticks, if any: whether the reply goes without
/// a look at the accounts. Otherwise leaves for them what they need to know.
#[inline(always)]
pub fn lets_go<L: Limiter>(
    platform: &L,
    s: &mut Scratch,
    source: u64,
    [own, around]: [u32; 2],
    now: u32,
) -> bool {
    s.judged.set(now);
    let own = charge(platform, s, 0, cell(platform, source), own, now);
    let mut fine = own;
    s.floors[1].set(0);
    if around != 0 {
        fine &= charge(platform, s, 1, cell_wide(platform, s), around, now);
    }
    s.counted.set(if fine { GLIMPSES } else { 0 });
    let unseen = next(s);
    s.unseen.set(unseen);
    fine && !is_glimpse(unseen)
}

/// The golden ratio's multiples are spread evenly, whatever pattern the queries come in.
#[inline(always)]
fn next(s: &Scratch) -> u32 {
    s.unseen.get().wrapping_add(0x9e37_79b9)
}

#[inline(always)]
fn is_glimpse(unseen: u32) -> bool {
    unseen >> (32 - GLIMPSES) == 0
}

/// Foretells [`lets_go`] for the next reply, by when the last one was judged here; so both cells are at hand by
/// then.
#[inline(always)]
pub fn will_let_go<L: Limiter>(platform: &L, s: &Scratch, source: u64) -> bool {
    let limits = &platform.root().limits;
    let of_around = is_fine(platform, s, cell_wide(platform, s));
    let own = is_fine(platform, s, cell(platform, source));
    own && (of_around || limits.octets_wide == 0) && !is_glimpse(next(s))
}

/// Whether no account behind a cell is near the end of its burst.
#[inline(always)]
fn is_fine<L: Limiter>(platform: &L, s: &Scratch, cell: u32) -> bool {
    let burst = platform.root().limits.burst;
    line_of(platform, cell).is_none_or(|line| {
        let bucket = Bucket { time: line.time(cell).load(), ..Bucket::new(0) };
        bucket.ahead(s.judged.get(), burst) <= (burst >> FINE) as i32
    })
}

/// The number of a source's cell.
#[inline(always)]
fn cell<L: Limiter>(platform: &L, source: u64) -> u32 {
    (line::hash(platform, source, REPLIES) >> (64 - CELLS.ilog2())) as u32
}

/// The number of the cell of what lies around the client.
#[inline(always)]
fn cell_wide<L: Limiter>(platform: &L, s: &Scratch) -> u32 {
    let source = account::source_wide(platform, s);
    CELLS as u32 + (line::hash(platform, source, OCTETS_WIDE) >> (64 - CELLS_WIDE.ilog2())) as u32
}

/// The line of a cell.
#[inline(always)]
fn line_of<L: Limiter>(platform: &L, cell: u32) -> Option<&Line> {
    platform.line(line::LINES as u32 + cell / WIDTH)
}

/// Charges a cell: whether no account that is behind it is near the end of the burst.
#[inline(always)]
fn charge<L: Limiter>(
    platform: &L,
    s: &mut Scratch,
    account: usize,
    cell: u32,
    cost: u32,
    now: u32,
) -> bool {
    let burst = platform.root().limits.burst;
    // Without a table nobody owes anything.
    let Some(line) = line_of(platform, cell) else { return true };
    let time = line.time(cell);
    let mut bucket = Bucket { time: time.load(), ..Bucket::new(0) };
    let ahead = bucket.ahead(now, burst).max(0) as u32;
    // A single reply can always be saved up for.
    let cost = cost.min(burst);
    bucket.charge(cost, burst, now);
    time.store(bucket.time);
    s.charged[OF_CELL + account].set(cell + 1);
    s.charge[OF_CELL + account].set(cost);
    let fine = burst >> FINE;
    s.floors[account].set(ahead.min(fine));
    ahead + cost <= fine
}

/// Gives back what the cells were charged.
#[inline(always)]
pub fn refund<L: Limiter>(platform: &L, s: &Scratch) {
    for account in [OF_CELL, OF_CELL + 1] {
        let charged = s.charged[account].get();
        let cell = charged.wrapping_sub(1);
        if charged != 0
            && let Some(line) = line_of(platform, cell)
        {
            let time = line.time(cell);
            time.store(time.load().wrapping_sub(s.charge[account].get()));
        }
    }
}

#[cfg(test)]
mod tests;
