//! A whole contest: the same queries to us and to a peer, every reply judged.

use std::{io, net::SocketAddr};

use super::{
    ask::{self, Pace},
    judge::{Judge, Verdict, describe},
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

/// A peer to hold ours against, and the rules.
pub struct Opponent<'a> {
    /// Where it answers.
    pub side: Side<'a>,
    /// The rules.
    pub judge: Judge<'a>,
}

/// We against one or more peers: a reply is right that is one of theirs, or differs as a rule has it.
pub struct Contest<'a> {
    /// Us.
    pub ours: Side<'a>,
    /// The peers; at least one.
    pub theirs: Vec<Opponent<'a>>,
}

/// The replies of one side, in the order of the queries.
type Replies = [Option<Vec<u8>>];

impl Contest<'_> {
    /// Asks all sides everything and judges.
    ///
    /// # Errors
    /// When a side cannot be reached at all.
    pub fn run(&self, queries: &[Query], pace: Pace) -> io::Result<Tally> {
        let ours = self.ours.reach(|ours| ask::datagrams(ours, queries, pace))?;
        let theirs = self.ask_peers(queries, pace)?;
        self.judge_all(queries, &ours.replies, &theirs)
    }

    /// What each peer replies.
    ///
    /// # Errors
    /// When one cannot be reached at all.
    pub fn ask_peers(
        &self,
        queries: &[Query],
        pace: Pace,
    ) -> io::Result<Vec<Vec<Option<Vec<u8>>>>> {
        let ask = |peer: &Opponent<'_>| {
            let asked = peer.side.reach(|address| ask::datagrams(address, queries, pace))?;
            Ok(asked.replies)
        };
        self.theirs.iter().map(ask).collect()
    }

    /// Judges replies that are there already; truncated ones are asked for again over TCP.
    ///
    /// # Errors
    /// When a side cannot be reached over TCP.
    pub fn judge_all(
        &self,
        queries: &[Query],
        ours: &Replies,
        theirs: &[Vec<Option<Vec<u8>>>],
    ) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut again = Vec::new();
        for (number, (query, ours)) in queries.iter().zip(ours).enumerate() {
            let Some(ours) = ours else {
                tally.differ("no reply from us", || describe(query));
                continue;
            };
            let Some(ours) = self.theirs[0].judge.alone(query, ours, &mut tally) else { continue };
            let mut table = Table::default();
            for (opponent, theirs) in self.theirs.iter().zip(theirs) {
                if !opponent.judge.is_heard(query) {
                    continue;
                }
                match theirs[number].as_deref().map(Message::parse) {
                    None => tally.note(format!("no reply from {}", opponent.name())),
                    Some(Err(fault)) => {
                        tally.note(format!("{} breaks: {}", opponent.name(), fault.rule.text()));
                    }
                    Some(Ok(theirs)) => {
                        table.unsure |=
                            theirs.header.tc || opponent.judge.lacks_glue(&ours, &theirs);
                        if !ours.header.tc && !theirs.header.tc {
                            table.add(opponent, query, &ours, theirs);
                        }
                    }
                }
            }
            if ours.header.tc || (table.unsure && !table.is_settled()) {
                again.push((query, ours));
            } else {
                table.close(query, &ours, &mut tally);
            }
        }
        self.judge_streams(&again, &mut tally)?;
        Ok(tally)
    }

    /// Judges by replies over TCP: ours too where it was truncated.
    fn judge_streams(&self, again: &[(&Query, Message)], tally: &mut Tally) -> io::Result<()> {
        let queries: Vec<&Query> = again.iter().map(|(query, _)| *query).collect();
        let cut: Vec<&Query> =
            again.iter().filter(|(_, ours)| ours.header.tc).map(|(query, _)| *query).collect();
        let mut ours = self.ours.reach(|ours| ask::stream(ours, &cut))?.into_iter();
        let ask = |peer: &Opponent<'_>| peer.side.reach(|address| ask::stream(address, &queries));
        let theirs: Vec<Vec<_>> = self.theirs.iter().map(ask).collect::<io::Result<_>>()?;
        for (number, (query, datagram)) in again.iter().enumerate() {
            let whole = match datagram.header.tc {
                true => match self.whole(query, ours.next().flatten().as_deref(), tally) {
                    Some(whole) => whole,
                    None => continue,
                },
                false => datagram.clone(),
            };
            let mut table = Table::default();
            for (opponent, theirs) in self.theirs.iter().zip(&theirs) {
                if !opponent.judge.is_heard(query) {
                    continue;
                }
                match theirs[number].as_deref().map(Message::parse) {
                    Some(Ok(theirs)) => table.add(opponent, query, &whole, theirs),
                    _ => tally.note(format!("no sound reply from {} over TCP", opponent.name())),
                }
            }
            if !datagram.header.tc {
                tally.note("whole with us, truncated by a peer");
            }
            table.close(query, &whole, tally);
        }
        Ok(())
    }

    /// Our whole reply, as it came over TCP after a truncated one.
    fn whole(&self, query: &Query, reply: Option<&[u8]>, tally: &mut Tally) -> Option<Message> {
        let Some(reply) = reply else {
            tally.differ("no reply from us over TCP", || describe(query));
            return None;
        };
        match Message::parse(reply) {
            Ok(whole) if whole.header.tc => {
                tally.differ("truncated over TCP", || format!("{}\n{whole}", describe(query)));
                None
            }
            Ok(whole) => {
                self.theirs[0].judge.truncated(query, &whole, tally);
                Some(whole)
            }
            Err(fault) => {
                let example = || format!("{}\n{fault}", describe(query));
                tally.differ(format!("strict over TCP: {}", fault.rule.text()), example);
                None
            }
        }
    }
}

impl Opponent<'_> {
    fn name(&self) -> &'static str {
        self.judge.peer.program()
    }
}

/// One reply of ours beside those of the peers.
#[derive(Default)]
struct Table {
    best: Option<Verdict>,
    theirs: Vec<(&'static str, Message)>,
    /// A peer's reply was no whole one.
    unsure: bool,
}

impl Table {
    fn add(&mut self, opponent: &Opponent<'_>, query: &Query, ours: &Message, theirs: Message) {
        if self.is_settled() {
            return;
        }
        let verdict = opponent.judge.compare(query, ours, &theirs);
        let worth = |verdict: &Verdict| match verdict {
            Verdict::Identical => 0,
            Verdict::Ruled(rules) => rules.len(),
            Verdict::Different(_) => usize::MAX,
        };
        if self.best.as_ref().is_none_or(|best| worth(&verdict) < worth(best)) {
            self.best = Some(verdict);
        }
        self.theirs.push((opponent.name(), theirs));
    }

    /// Whether no further peer can make it better.
    fn is_settled(&self) -> bool {
        self.best == Some(Verdict::Identical)
    }

    fn close(self, query: &Query, ours: &Message, tally: &mut Tally) {
        let Some(verdict) = self.best else { return tally.note("no peer to compare with") };
        tally.count(verdict, || {
            let mut text = format!("{}\n--- ours\n{ours}", describe(query));
            for (name, theirs) in &self.theirs {
                text += &format!("--- {name}\n{theirs}");
            }
            text
        });
    }
}
