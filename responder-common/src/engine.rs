//! The order of the steps: from a query in the scratch memory to a settled reply.

use crate::{
    alias::LINKS_MAX,
    bounds::opaque,
    verdict::{Next, Verdict},
};

/// The engine's steps, as whoever runs them calls them: plainly on the host, as functions that the
/// verifier looks at once each in the kernel.
pub trait Steps {
    /// [`crate::message::parse`].
    fn parse(&mut self) -> Next;
    /// [`crate::plan::begin`].
    fn begin(&mut self) -> Next;
    /// [`crate::locate::walk`].
    fn walk(&mut self) -> Next;
    /// [`crate::plan::plan`].
    fn plan(&mut self) -> Next;
    /// [`crate::denial::prepare`].
    fn prepare(&mut self) -> u32;
    /// [`crate::denial::digest`], so many times: a loop whose body the verifier looks at once.
    fn digest(&mut self, times: u32);
    /// [`crate::denial::cover`].
    fn cover(&mut self) -> Next;
    /// [`crate::alias::follow`].
    fn follow(&mut self) -> Next;
    /// [`crate::limit::cookie::bake`].
    fn bake(&mut self);
    /// [`crate::limit::judge`].
    fn judge(&mut self) -> Next;
    /// [`crate::limit::pass`].
    fn pass(&mut self, verdict: Verdict) -> Verdict;
    /// [`crate::reply::settle`].
    fn settle(&mut self) -> u32;
}

/// Works out the reply to the query in the scratch memory. Returns its octets; writing it is next.
///
/// # Errors
/// Why there is no reply from here.
#[inline(always)]
pub fn respond<S: Steps>(steps: &mut S) -> Result<u32, Verdict> {
    match steps.parse() {
        Next::Stop(verdict) => return Err(steps.pass(verdict)),
        Next::Continue => resolve(steps)?,
        _ => {}
    }
    steps.bake();
    if let Next::Stop(verdict) = steps.judge() {
        return Err(verdict);
    }
    Ok(steps.settle())
}

/// From the question to a plan, alias by alias.
#[inline(always)]
fn resolve<S: Steps>(steps: &mut S) -> Result<(), Verdict> {
    match steps.begin() {
        Next::Stop(verdict) => return Err(verdict),
        Next::Continue => {}
        _ => return Ok(()),
    }
    let mut links = 0;
    // The barrier keeps the compiler from writing the loop out nine times; the verifier sees through it.
    while opaque(links) <= u64::from(LINKS_MAX) {
        match steps.walk() {
            Next::Stop(verdict) => return Err(verdict),
            Next::Continue => {}
            _ => return Ok(()),
        }
        let next = steps.plan();
        if let Next::Stop(verdict) = next {
            return Err(verdict);
        }
        if matches!(next, Next::Cover | Next::CoverAndFollow)
            && let Next::Stop(verdict) = cover(steps)
        {
            return Err(verdict);
        }
        if !matches!(next, Next::Follow | Next::CoverAndFollow) {
            return Ok(());
        }
        match steps.follow() {
            Next::Stop(verdict) => return Err(verdict),
            Next::Chase => {}
            _ => return Ok(()),
        }
        links += 1;
    }
    Ok(())
}

/// Proves that the next closer name does not exist.
#[inline(always)]
fn cover<S: Steps>(steps: &mut S) -> Next {
    let digests = steps.prepare();
    if digests != 0 {
        steps.digest(digests);
    }
    steps.cover()
}
