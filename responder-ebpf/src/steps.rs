//! The engine's steps as global functions: the verifier looks at each once, whatever calls it, and what
//! one leaves for the next is in the scratch memory.

use responder_common::{
    alias, denial,
    engine::Steps,
    locate, message, plan,
    platform::Platform,
    reply,
    verdict::{Next, Verdict},
};

use crate::kernel::{Kernel, repeat, scratch};

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
    |kernel, s| locate::walk(&kernel, s).to_number()
);
step!(
    /// Plans what the node says.
    responder_plan,
    |kernel, s| plan::plan(&kernel, s).to_number()
);
step!(
    /// Readies the search for what covers the next closer name; how many digests it takes.
    responder_prepare,
    |kernel, s| denial::prepare(&kernel, s)
);
step!(
    /// Makes one digest.
    responder_digest,
    |kernel, s| {
        denial::digest(&kernel, s);
        0
    }
);
step!(
    /// Covers the next closer name.
    responder_cover,
    |kernel, s| denial::cover(&kernel, s).to_number()
);
step!(
    /// Follows an alias.
    responder_follow,
    |kernel, s| alias::follow(&kernel, s).to_number()
);
step!(
    /// Settles the reply; its octets.
    responder_settle,
    |kernel, s| reply::settle(&kernel, s)
);

/// The steps, called as global functions.
pub struct Global;

impl Steps for Global {
    #[inline(always)]
    fn parse(&mut self) -> Next {
        Next::from_number(responder_parse())
    }

    #[inline(always)]
    fn begin(&mut self) -> Next {
        Next::from_number(responder_begin())
    }

    #[inline(always)]
    fn walk(&mut self) -> Next {
        Next::from_number(responder_walk())
    }

    #[inline(always)]
    fn plan(&mut self) -> Next {
        Next::from_number(responder_plan())
    }

    #[inline(always)]
    fn prepare(&mut self) -> u32 {
        responder_prepare()
    }

    #[inline(always)]
    fn digest(&mut self, times: u32) {
        repeat(times, |_| {
            responder_digest();
            true
        });
    }

    #[inline(always)]
    fn cover(&mut self) -> Next {
        Next::from_number(responder_cover())
    }

    #[inline(always)]
    fn follow(&mut self) -> Next {
        Next::from_number(responder_follow())
    }

    #[inline(always)]
    fn settle(&mut self) -> u32 {
        responder_settle()
    }
}
