//! The engine's steps as global functions: the verifier looks at each once, whatever calls it, and what
//! one leaves for the next is in the scratch memory.

use responder_common::{
    alias, denial,
    engine::Steps,
    limit::{self, Limiter as _, cookie, switch},
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
    |kernel, s| {
        if kernel.switches() & switch::REPLIES != 0 {
            // They come with the line of the index that the walk waits for.
            limit::fetch(&kernel, s);
        }
        locate::walk(&kernel, s).to_number()
    }
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
    /// Checks and makes cookies.
    responder_bake,
    |kernel, s| {
        cookie::bake(&kernel, s);
        0
    }
);

/// Finds a source's line in the limiter's table, or takes one for it; its number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn responder_find(source: u64, kind: u32, now: u32) -> u32 {
    let Some(kernel) = Kernel::new() else { return 0 };
    limit::line::find(&kernel, source, kind, now)
}

/// Finds the account of a tag in a line, or takes one for it; its place.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn responder_place(number: u32, tag: u32, now: u32) -> u32 {
    let Some(kernel) = Kernel::new() else { return 0 };
    let burst = kernel.root().limits.burst;
    kernel.line(number).map_or(0, |line| line.place(tag as u16, now, burst))
}

/// Charges the reply to its accounts: one if one of them is over its rate.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn responder_charge(class: u32) -> u32 {
    let (Some(kernel), Some(s)) = (Kernel::new(), scratch()) else { return 0 };
    u32::from(limit::charge(&kernel, s, class))
}

step!(
    /// Judges whether the client's source may have the reply.
    responder_judge,
    |kernel, s| limit::judge(&kernel, s, false).to_number()
);
step!(
    /// Gives back what the reply was charged.
    responder_refund,
    |kernel, s| {
        limit::refund(&kernel, s);
        0
    }
);

/// Judges whether a message may be passed to the daemon from a hook; the verdict's number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn responder_pass(verdict: u32, hook: u32) -> u32 {
    let (Some(kernel), Some(s)) = (Kernel::new(), scratch()) else {
        return Verdict::Fault as u32;
    };
    limit::pass(&kernel, s, Verdict::from_number(verdict), hook) as u32
}

step!(
    /// Settles the reply; its octets.
    responder_settle,
    |kernel, s| reply::settle(&kernel, s)
);

/// The steps, called as global functions, for a hook.
pub struct Global {
    /// [`crate::kernel::HOOK_XDP`] or [`crate::kernel::HOOK_TC`].
    pub hook: u32,
    /// The limiter's switches: what is off costs a look.
    pub switches: u32,
}

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
    fn bake(&mut self) {
        if self.switches & switch::COOKIES != 0 {
            responder_bake();
        }
    }

    #[inline(always)]
    fn judge(&mut self) -> Next {
        if self.switches & switch::REPLIES == 0 {
            return Next::Continue;
        }
        Next::from_number(responder_judge())
    }

    #[inline(always)]
    fn pass(&mut self, verdict: Verdict) -> Verdict {
        if self.switches & switch::PASSED == 0 {
            return verdict;
        }
        Verdict::from_number(responder_pass(verdict as u32, self.hook))
    }

    #[inline(always)]
    fn settle(&mut self) -> u32 {
        responder_settle()
    }
}
