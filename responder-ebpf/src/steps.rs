//! The engine's steps as global functions: the verifier looks at each once, whatever calls it, and what
//! one leaves for the next is in the scratch memory.

use responder_common::{
    locate, message, plan,
    platform::Platform,
    reply,
    verdict::{Next, Verdict},
};

use crate::kernel::{Kernel, scratch};

macro_rules! step {
    ($(#[$doc:meta])* $name:ident, |$kernel:ident, $scratch:ident| $body:expr) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $name() -> u32 {
            let (Some($kernel), Some($scratch)) = (Kernel::new(), scratch()) else {
                return Next::Stop(Verdict::Fault).to_number();
            };
            $body
        }
    };
}

step!(
    /// Reads the query.
    responder_parse,
    |kernel, s| message::parse(&kernel, s, u32::from(kernel.root().udp_size), false).to_number()
);
step!(
    /// Finds the zone.
    responder_begin,
    |kernel, s| plan::begin(&kernel, s).to_number()
);
step!(
    /// Walks to the node.
    responder_walk,
    |kernel, s| if locate::walk(&kernel, s) {
        Next::Continue.to_number()
    } else {
        Next::Stop(Verdict::Fault).to_number()
    }
);
step!(
    /// Plans what the node says.
    responder_plan,
    |kernel, s| plan::plan(&kernel, s).to_number()
);
step!(
    /// Settles the reply; its octets.
    responder_settle,
    |kernel, s| reply::settle(&kernel, s)
);

/// Works out the reply to the query in the scratch memory. Its octets, or why there is none.
#[inline(always)]
pub fn respond() -> Result<u32, Verdict> {
    match Next::from_number(responder_parse()) {
        Next::Stop(verdict) => return Err(verdict),
        Next::Continue => resolve()?,
        _ => {}
    }
    Ok(responder_settle())
}

/// From the question to a plan, link by link.
#[inline(always)]
fn resolve() -> Result<(), Verdict> {
    match Next::from_number(responder_begin()) {
        Next::Stop(verdict) => return Err(verdict),
        Next::Continue => {}
        _ => return Ok(()),
    }
    let mut links = 0;
    while links <= plan::LINKS_MAX {
        if let Next::Stop(verdict) = Next::from_number(responder_walk()) {
            return Err(verdict);
        }
        match Next::from_number(responder_plan()) {
            Next::Stop(verdict) => return Err(verdict),
            Next::Chase => {}
            _ => return Ok(()),
        }
        links += 1;
    }
    Ok(())
}
