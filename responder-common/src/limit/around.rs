//! What lies around a source is charged for its octets too: for floods that keep each source of a larger
//! prefix below its own rate.
//!
//! Its account is not looked at for each reply: a source keeps back what it takes, up to [`SHARE`], and then
//! all of it is charged at once. So nothing escapes, and the line of the larger prefix, which all processors
//! share, is cold for one reply of several only.
//!
//! Once that account is over its rate each reply to the source is judged. Who lives there? Forged sources
//! never hear that a reply was truncated; resolvers come back over TCP. A source has a *standing*: each
//! truncated reply takes one from it, each query over TCP adds two. Whose standing is good gets replies whole,
//! but one of [`PROBED`], which is truncated to see whether anybody comes back. So a network of ordinary
//! resolvers, however many they are, has one question of sixteen asked twice, and of a flood of forged
//! sources nothing goes whole but for as many as real ones are among them.

use super::{Limiter, OCTETS, OCTETS_WIDE, account, account::Cost, bucket::Bucket, line};
use crate::scratch::{OF_WIDE, Scratch};

/// Octets of a unit that is kept back.
const UNIT: u32 = 32;
/// Units, from which on all that was kept back is charged: 4096 octets.
const SHARE: u32 = 128;
/// In the place of what is kept back: the account was over its rate, each reply is judged.
const OVER: u32 = 255;
/// Of so many replies to a source of good standing one is truncated.
const PROBED: u32 = 16;
/// The best standing: four replies of a flood that are not asked for again end it. The worst is -8.
const BEST: i32 = 4;

/// Of this state: what another source inherits.
pub const INHERITED: u16 = 0xff;

/// What a source's account of octets has in the place of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    /// Units kept back, or [`OVER`].
    kept: u32,
    /// From -8 to [`BEST`].
    standing: i32,
    /// Replies sent whole since one was truncated.
    whole: u32,
}

impl State {
    #[inline(always)]
    fn of(bucket: &Bucket) -> Self {
        let tag = u32::from(bucket.tag);
        Self { kept: tag & 0xff, standing: ((tag << 20) as i32) >> 28, whole: tag >> 12 }
    }

    #[inline(always)]
    fn tag(self) -> u16 {
        (self.kept | (self.standing as u32 & 15) << 8 | self.whole << 12) as u16
    }

    /// Whether a reply of a source goes whole while what lies around it is over its rate.
    #[inline(always)]
    fn is_trusted(&mut self) -> bool {
        if self.standing > 0 && self.whole + 1 < PROBED {
            self.whole += 1;
            return true;
        }
        self.whole = 0;
        self.standing = (self.standing - 1).max(-8);
        false
    }
}

/// Charges what lies around the client for a reply that is so many octets longer than its query. `bucket` is
/// the source's own account of octets. Whether the reply is over the rate.
#[inline(always)]
pub fn charge<L: Limiter>(
    platform: &L,
    s: &mut Scratch,
    bucket: &mut Bucket,
    octets: u32,
    now: u32,
) -> bool {
    let limits = &platform.root().limits;
    if limits.octets_wide == 0 || octets == 0 {
        return false;
    }
    let mut state = State::of(bucket);
    let units = octets.div_ceil(UNIT);
    let asked = state.kept == OVER;
    let all = if asked { units } else { state.kept + units };
    let mut over = false;
    if !asked && all < SHARE {
        state.kept = all;
    } else {
        let source = account::source_wide(platform, s);
        let Some((number, line)) = line::seek(platform, source, OCTETS_WIDE, now) else {
            return false;
        };
        let ticks = account::share(all * UNIT, limits.octets_wide);
        let cost = Cost { ticks, floor: s.floors[1].get(), counted: s.counted.get() };
        over = account::charge(platform, s, OF_WIDE, (number, line, OCTETS_WIDE), cost, now);
        state.kept = if over { OVER } else { 0 };
        over = over && !state.is_trusted();
    }
    bucket.tag = state.tag();
    over
}

/// A client has asked over TCP: its source is where it says.
#[inline(always)]
pub fn vouch<L: Limiter>(platform: &L, s: &Scratch) {
    let source = account::source(platform, s);
    let number = line::home(platform, source, account::REPLIES);
    for number in [number, number ^ 1] {
        let Some(line) = platform.line(number) else { continue };
        if line.source() == source {
            let mut bucket = line.bucket(OCTETS);
            let mut state = State::of(&bucket);
            state.standing = (state.standing + 2).min(BEST);
            bucket.tag = state.tag();
            line.put(OCTETS, &bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BEST, Bucket, State};

    #[test]
    fn a_state_is_kept_in_a_tag() {
        for (kept, standing, whole) in [(0, 0, 0), (255, -8, 15), (127, BEST, 3), (1, -1, 0)] {
            let state = State { kept, standing, whole };
            assert_eq!(State::of(&Bucket { tag: state.tag(), ..Bucket::new(0) }), state);
        }
        assert_eq!(State { kept: 0, standing: 0, whole: 0 }.tag(), 0, "a new line's");
    }

    /// How many of a thousand replies go whole if one of so many truncated ones is asked for over TCP.
    fn whole(of: u32) -> u32 {
        let (mut state, mut cut, mut whole) = (State::of(&Bucket::new(0)), 0, 0);
        for _ in 0..1000 {
            if state.is_trusted() {
                whole += 1;
            } else {
                cut += 1;
                if cut % of == 0 {
                    state.standing = (state.standing + 2).min(BEST);
                }
            }
        }
        whole
    }

    #[test]
    fn who_comes_back_over_tcp_gets_replies_whole_and_who_does_not_does_not() {
        assert!((930..=940).contains(&whole(1)), "{}", whole(1));
        assert_eq!(whole(3), 0);
        assert_eq!(whole(10_000), 0);
    }
}
