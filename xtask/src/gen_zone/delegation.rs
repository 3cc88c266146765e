//! The apex and the delegations, written as text.

use std::io::{self, Write};

use crate::refereeing::random::Random;

/// Of a hundred delegations so many have name servers, and so glue, of their own.
const OWN_SERVERS: usize = 40;
/// Of a hundred delegations so many have DS records.
const SECURE: usize = 10;
/// Delegations for each hosting company, on the average.
const NAMES_PER_COMPANY: usize = 100;

/// What the delegations of one zone share.
pub struct Registry {
    random: Random,
    companies: usize,
    made: u64,
    records: u64,
}

impl Registry {
    /// For so many delegations.
    pub fn new(names: usize, seed: u64) -> Self {
        let companies = (names / NAMES_PER_COMPANY).clamp(20, 50_000);
        Self { random: Random::new(seed ^ 0x6465_6c65_6761_7465), companies, made: 0, records: 0 }
    }

    /// Records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The directives, SOA, NS and the registry's own hosts.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_apex(&mut self, out: &mut impl Write, apex: &str) -> io::Result<()> {
        self.records += 10;
        write!(
            out,
            "$ORIGIN {apex}.\n$TTL 86400\n\
             @ IN SOA ns1.nic hostmaster.nic 2026112200 7200 3600 1209600 900\n\
             @ IN NS ns1.nic\n@ IN NS ns2.nic\n@ IN NS ns.registry.example.\n\
             ns1.nic IN A 192.0.2.1\nns1.nic IN AAAA 2001:db8::1\n\
             ns2.nic IN A 192.0.2.2\nns2.nic IN AAAA 2001:db8::2\n\
             www.nic IN A 192.0.2.80\nnic IN TXT \"registry\"\n"
        )
    }

    /// One delegation with what belongs to it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_delegation(&mut self, out: &mut impl Write, label: &str) -> io::Result<()> {
        self.made += 1;
        if self.random.percent(OWN_SERVERS) {
            self.write_own_servers(out, label)?;
        } else {
            self.write_company(out, label)?;
        }
        if self.random.percent(SECURE) {
            self.write_ds(out, label)?;
        }
        Ok(())
    }

    /// Two servers, now and then three, below the delegated name, a third of them with IPv6.
    fn write_own_servers(&mut self, out: &mut impl Write, label: &str) -> io::Result<()> {
        let servers = if self.random.percent(10) { 3 } else { 2 };
        let (high, low) = (self.made >> 8 & 255, self.made & 255);
        for server in 1..=servers {
            writeln!(out, "{label} IN NS ns{server}.{label}")?;
            writeln!(out, "ns{server}.{label} IN A 203.{server}.{high}.{low}")?;
            self.records += 2;
            if self.random.percent(33) {
                let (high, low) = (self.made >> 16, self.made & 0xffff);
                writeln!(out, "ns{server}.{label} IN AAAA 2001:db8:{server}::{high:x}:{low:x}")?;
                self.records += 1;
            }
        }
        Ok(())
    }

    /// The servers of a hosting company outside the zone. Popularity falls off as one over the rank:
    /// the exponential of a uniform number is distributed so.
    fn write_company(&mut self, out: &mut impl Write, label: &str) -> io::Result<()> {
        let most = (self.companies as f64).ln();
        let company = (self.random.fraction() * most).exp() as usize;
        // What a company is like follows from its number alone.
        let (servers, domain) = match company % 8 {
            0 => (4, "example.net"),
            1 | 2 => (3, "hosting.example.com"),
            _ => (2, "example.net"),
        };
        for server in 1..=servers {
            writeln!(out, "{label} IN NS ns{server}.hoster-{company}.{domain}.")?;
        }
        self.records += servers;
        Ok(())
    }

    /// A DS, sometimes two, of SHA-256.
    fn write_ds(&mut self, out: &mut impl Write, label: &str) -> io::Result<()> {
        let keys = if self.random.percent(5) { 2 } else { 1 };
        for _ in 0..keys {
            let tag = self.random.below(65_536);
            write!(out, "{label} IN DS {tag} 13 2 ")?;
            for _ in 0..4 {
                write!(out, "{:016x}", self.random.next())?;
            }
            writeln!(out)?;
        }
        self.records += keys;
        Ok(())
    }
}
