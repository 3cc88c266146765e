//! The rules one by one, and what holds whatever happens.

use std::time::Duration;

use super::{Cause, Judge, Policy, Wanted};

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy {
        rise: 3,
        fall: 2,
        hold_down: 10 * SECOND,
        hold_down_max: 60 * SECOND,
        forget: 600 * SECOND,
        last_resort: false,
        drain_wait: 5 * SECOND,
    }
}

/// A judge, and a clock that goes on by a second with each look.
struct Course {
    judge: Judge,
    now: Duration,
}

impl Course {
    fn new(policy: Policy) -> Self {
        Self { judge: Judge::new(policy, false), now: Duration::ZERO }
    }

    fn announced(policy: Policy) -> Self {
        let mut course = Self::new(policy);
        course.looks("ggg");
        assert_eq!(course.wanted(), Wanted::Announced);
        course
    }

    /// `g` for a good look, `b` for a bad one.
    fn looks(&mut self, looks: &str) {
        for look in looks.chars() {
            self.now += SECOND;
            self.judge.look(self.now, look == 'g', 0.0);
            self.judge.tick(self.now);
        }
    }

    fn verdict(&self) -> (Wanted, Cause) {
        self.judge.verdict(self.now)
    }

    fn wanted(&self) -> Wanted {
        self.verdict().0
    }

    /// Good looks until it is announced.
    fn seconds_to_return(&mut self) -> u32 {
        let mut seconds = 0;
        while self.wanted() != Wanted::Announced {
            self.looks("g");
            seconds += 1;
            assert!(seconds < 1000);
        }
        seconds
    }
}

#[test]
fn it_takes_so_many_good_looks_in_a_row_to_begin() {
    let mut course = Course::new(policy());
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Starting));
    course.looks("ggbgg");
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Starting));
    course.looks("g");
    assert_eq!(course.verdict(), (Wanted::Announced, Cause::None));
}

#[test]
fn one_bad_look_is_forgiven_and_two_are_not() {
    let mut course = Course::announced(policy());
    course.looks("bgbgb");
    assert_eq!(course.wanted(), Wanted::Announced);
    course.looks("b");
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Unhealthy));
}

#[test]
fn it_is_held_down_twice_as_long_each_time() {
    let mut course = Course::announced(policy());
    let mut waits = Vec::new();
    for _ in 0..5 {
        course.looks("bb");
        course.looks("ggg");
        assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::HeldDown));
        waits.push(3 + course.seconds_to_return());
    }
    assert_eq!(waits, [10, 20, 40, 60, 60]);
}

#[test]
fn failures_are_forgotten_in_calm_times() {
    let mut course = Course::announced(policy());
    course.looks("bb");
    course.seconds_to_return();
    assert_eq!(course.judge.failures(), 1);
    course.looks(&"g".repeat(600));
    assert_eq!(course.judge.failures(), 0);
    course.looks("bb");
    assert_eq!(course.seconds_to_return(), 10);
}

#[test]
fn chance_only_lengthens() {
    let mut course = Course::announced(policy());
    course.judge.look(SECOND, false, 1.0);
    course.judge.look(SECOND, false, 1.0);
    assert_eq!(course.judge.held(SECOND), Duration::from_millis(12_500));
}

#[test]
fn drain_makes_it_less_preferred_first_and_return_too() {
    let mut course = Course::announced(policy());
    course.judge.set_drained(course.now, true, true);
    assert_eq!(course.verdict(), (Wanted::LessPreferred, Cause::Draining));
    course.looks("gggg");
    assert_eq!(course.verdict(), (Wanted::LessPreferred, Cause::Draining));
    course.looks("g");
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Drained));
    course.judge.set_drained(course.now, false, true);
    assert_eq!(course.verdict(), (Wanted::LessPreferred, Cause::Returning));
    course.looks("ggggg");
    assert_eq!(course.verdict(), (Wanted::Announced, Cause::None));
}

#[test]
fn without_degrees_drain_withdraws_at_once() {
    let mut course = Course::announced(policy());
    course.judge.set_drained(course.now, true, false);
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Drained));
    course.judge.set_drained(course.now, false, false);
    assert_eq!(course.verdict(), (Wanted::Announced, Cause::None));
}

#[test]
fn a_node_that_starts_drained_stays_so() {
    let mut judge = Judge::new(policy(), true);
    for second in 0..100 {
        judge.look(second * SECOND, true, 0.5);
        judge.tick(second * SECOND);
        assert_eq!(judge.verdict(second * SECOND).0, Wanted::Withdrawn);
    }
}

#[test]
fn the_last_resort_is_less_preferred_but_there_and_only_once_it_was_well() {
    let mut course = Course::new(Policy { last_resort: true, ..policy() });
    course.looks("bbbb");
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Starting));
    course.looks("ggg");
    course.looks("bb");
    assert_eq!(course.verdict(), (Wanted::LessPreferred, Cause::Unhealthy));
    course.judge.set_vetoed(true);
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Vetoed));
    course.judge.set_vetoed(false);
    course.judge.set_drained(course.now, true, true);
    course.looks("bbbbb");
    assert_eq!(course.verdict(), (Wanted::Withdrawn, Cause::Drained));
}

#[test]
fn what_was_announced_before_a_restart_is_kept_for_the_first_looks() {
    let mut judge = Judge::adopted(policy(), false);
    assert_eq!(judge.verdict(Duration::ZERO), (Wanted::Announced, Cause::None));
    judge.look(SECOND, false, 0.0);
    assert_eq!(judge.verdict(SECOND).0, Wanted::Announced);
    judge.look(2 * SECOND, false, 0.0);
    assert_eq!(judge.verdict(2 * SECOND).0, Wanted::Withdrawn);
}

/// Whatever happens in whatever order: announced only after enough good looks in a row, never lost but by
/// enough bad looks, the operator or the watchdog, and never back before the hold-down is over.
#[test]
fn whatever_happens() {
    for seed in 1..300_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |most: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % most
        };
        let mut course = Course::new(policy());
        let (mut good, mut bad) = (0_u32, 0_u32);
        let (mut drained, mut vetoed) = (false, false);
        let (mut lost_at, mut was_hidden) = (None, false);
        let mood = 1 + below(20);
        for _ in 0..400 {
            let before = course.wanted();
            match below(40) {
                0 => {
                    drained = !drained;
                    course.judge.set_drained(course.now, drained, below(2) == 0);
                }
                1 => {
                    vetoed = !vetoed;
                    course.judge.set_vetoed(vetoed);
                }
                _ if below(mood) > 0 => {
                    course.looks("g");
                    (good, bad) = (good + 1, 0);
                }
                _ => {
                    course.looks("b");
                    (good, bad) = (0, bad + 1);
                }
            }
            let (after, cause) = course.verdict();
            if after > Wanted::Withdrawn && before == Wanted::Withdrawn {
                assert!(!vetoed, "seed {seed}");
                if let Some(lost) = lost_at.take() {
                    assert!(course.now >= lost + policy().hold_down, "seed {seed}");
                    // It may have become well, and have had one bad look since, behind a veto.
                    assert!(was_hidden || good >= policy().rise, "seed {seed}");
                }
            }
            if cause == Cause::Unhealthy && before > Wanted::Withdrawn {
                assert!(bad >= policy().fall, "seed {seed}");
                (lost_at, was_hidden) = (Some(course.now), false);
            }
            was_hidden |= vetoed || drained;
            if after == Wanted::Announced {
                assert!(!drained && !vetoed && bad < policy().fall, "seed {seed}");
            }
        }
        course.judge.set_vetoed(false);
        course.judge.set_drained(course.now, false, true);
        course.seconds_to_return();
    }
}
