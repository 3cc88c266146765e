//! A whole contest: the same queries to us and to a peer, every reply judged.

use std::{io, net::SocketAddr};

use super::{
    ask::{self, Pace},
    judge::{Judge, describe},
    queries::Query,
    tally::Tally,
};
use crate::strict::Message;

/// Runs a piece of work where a side can be reached: in the caller's network namespace, or another.
pub type Within<'a> = &'a dyn Fn(&mut (dyn FnMut() + Send));

/// One side of the contest.
pub struct Side<'a> {
    /// Where it answers.
    pub address: SocketAddr,
    /// From where it is asked.
    pub within: Within<'a>,
}

impl Side<'_> {
    /// Does something where this side can be reached.
    pub fn reach<T: Send>(&self, work: impl FnOnce(SocketAddr) -> T + Send) -> T {
        let mut work = Some(work);
        let mut result = None;
        let address = self.address;
        (self.within)(&mut || result = work.take().map(|work| work(address)));
        result.expect("the work was done")
    }
}

/// The two sides, and the rules.
pub struct Contest<'a> {
    /// Us.
    pub ours: Side<'a>,
    /// The peer.
    pub theirs: Side<'a>,
    /// The rules.
    pub judge: Judge<'a>,
}

impl Contest<'_> {
    /// Asks both sides everything and judges.
    ///
    /// # Errors
    /// When a side cannot be reached at all.
    pub fn run(&self, queries: &[Query], pace: Pace) -> io::Result<Tally> {
        let ours = self.ours.reach(|ours| ask::datagrams(ours, queries, pace))?;
        let theirs = self.theirs.reach(|theirs| ask::datagrams(theirs, queries, pace))?;
        self.judge_all(queries, &ours.replies, &theirs.replies)
    }

    /// Judges replies that are there already; truncated ones are asked for again over TCP.
    ///
    /// # Errors
    /// When a side cannot be reached over TCP.
    pub fn judge_all(
        &self,
        queries: &[Query],
        ours: &[Option<Vec<u8>>],
        theirs: &[Option<Vec<u8>>],
    ) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut again = Vec::new();
        for (query, (ours, theirs)) in queries.iter().zip(ours.iter().zip(theirs)) {
            let Some(ours) = ours else {
                tally.differ("no reply from us", || describe(query));
                continue;
            };
            let Some(ours) = self.judge.alone(query, ours, &mut tally) else { continue };
            match theirs.as_deref().map(Message::parse) {
                None => tally.note("no reply from the peer"),
                Some(Err(fault)) => tally.note(format!("the peer breaks: {}", fault.rule.text())),
                Some(Ok(theirs))
                    if ours.header.tc
                        || theirs.header.tc
                        || self.judge.lacks_glue(&ours, &theirs) =>
                {
                    again.push((query, ours));
                }
                Some(Ok(theirs)) => self.judge.compare(query, &ours, &theirs, &mut tally),
            }
        }
        self.judge_streams(&again, &mut tally)?;
        Ok(tally)
    }

    fn judge_streams(&self, again: &[(&Query, Message)], tally: &mut Tally) -> io::Result<()> {
        let queries: Vec<&Query> = again.iter().map(|(query, _)| *query).collect();
        let ours = self.ours.reach(|ours| ask::stream(ours, &queries))?;
        let theirs = self.theirs.reach(|theirs| ask::stream(theirs, &queries))?;
        for ((query, datagram), (ours, theirs)) in again.iter().zip(ours.iter().zip(&theirs)) {
            let Some(Ok(theirs)) = theirs.as_deref().map(Message::parse) else {
                tally.note("no sound reply from the peer over TCP");
                continue;
            };
            let Some(ours) = ours else {
                tally.differ("no reply from us over TCP", || describe(query));
                continue;
            };
            let ours = match Message::parse(ours) {
                Ok(ours) if ours.header.tc => {
                    let example = || format!("{}\n{ours}", describe(query));
                    tally.differ("truncated over TCP", example);
                    continue;
                }
                Ok(ours) => ours,
                Err(fault) => {
                    let example = || format!("{}\n{fault}", describe(query));
                    tally.differ(format!("strict over TCP: {}", fault.rule.text()), example);
                    continue;
                }
            };
            if datagram.header.tc {
                self.judge.truncated(query, &ours, tally);
                self.judge.compare(query, &ours, &theirs, tally);
            } else {
                tally.note("whole with us, truncated by the peer");
                self.judge.compare(query, datagram, &theirs, tally);
            }
        }
        Ok(())
    }
}
