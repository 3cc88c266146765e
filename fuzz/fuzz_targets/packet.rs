//! Any frame: reading its headers and its message, and the headers of the reply.
//!
//! The first octet chooses the zones; the frame follows.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use responder::dataplane::trial::HookPoint;
use responder_common::verdict::{Action, Verdict};
use responder_fuzz::{World, judge, worlds};

thread_local! {
    static WORLDS: RefCell<Vec<World>> = RefCell::new(worlds());
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, frame)) = input.split_first() else { return };
    WORLDS.with_borrow_mut(|worlds| {
        let count = worlds.len();
        let World { host, reply, .. } = &mut worlds[usize::from(choice) % count];
        for hook in [HookPoint::Xdp, HookPoint::Tc] {
            let verdict = host.frame(hook, frame, reply);
            assert!(!matches!(verdict, Verdict::Fault | Verdict::Torn), "{verdict:?}");
            if verdict.action() == Action::Reply {
                let at = judge::headers(hook, frame, reply).expect("sound headers");
                judge::message(&frame[at..], &reply[at..]).expect("a sound message");
            }
        }
    });
});
