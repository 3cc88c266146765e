//! Any message to the engine over the sample zones, by datagram and by stream.
//!
//! The first octet chooses zones, transport and form: the message as it stands, or a header, the number
//! of a name that there is, and the rest.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use responder::answer::Transport;
use responder_fuzz::{World, worlds};

thread_local! {
    static WORLDS: RefCell<Vec<World>> = RefCell::new(worlds());
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else { return };
    let transport = if choice & 0x80 == 0 { Transport::Udp } else { Transport::Tcp };
    WORLDS.with_borrow_mut(|worlds| {
        let count = worlds.len();
        let world = &mut worlds[usize::from(choice & 0x3f) % count];
        if choice & 0x40 == 0 || input.len() < 14 {
            world.ask(input, transport);
            return;
        }
        let number = usize::from(u16::from_be_bytes([input[12], input[13]])) % world.names.len();
        let query = [&input[..12], &world.names[number], &input[14..]].concat();
        world.ask(&query, transport);
    });
});
