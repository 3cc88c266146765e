//! Queries made field by field, well formed or not.

use crate::strict::{Name, rtype};

/// A query in the making: by default for the SOA of a name, in class IN, without EDNS, no flag set.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The header's second word: QR, opcode, flags.
    pub flags: u16,
    /// QDCOUNT and as many times the question.
    pub questions: u16,
    /// QNAME as octets, so that it can be none.
    pub name: Vec<u8>,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
    /// The OPT records.
    pub opts: Vec<Opt>,
    /// What stands behind everything.
    pub trailing: Vec<u8>,
}

/// An OPT record in the making (RFC 6891, section 6.1.2).
#[derive(Debug, Clone)]
pub struct Opt {
    /// The owner: the root's single zero, unless a rule is to be broken.
    pub owner: Vec<u8>,
    /// The UDP payload size.
    pub size: u16,
    /// The version.
    pub version: u8,
    /// DO and the reserved bits.
    pub flags: u16,
    /// Options: code and data.
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Default for Opt {
    fn default() -> Self {
        Self { owner: vec![0], size: 1232, version: 0, flags: 0, options: Vec::new() }
    }
}

impl Opt {
    /// DO (RFC 3225).
    pub const DO: u16 = 0x8000;
}

impl Probe {
    /// The ID of every probe.
    pub const ID: u16 = 0x7a31;

    /// The question for the SOA of a name.
    pub fn new(name: &str) -> Self {
        Self {
            flags: 0,
            questions: 1,
            name: Name::from_text(name).expect("a name").wire().to_vec(),
            qtype: rtype::SOA,
            qclass: 1,
            opts: Vec::new(),
            trailing: Vec::new(),
        }
    }

    /// For another type.
    pub fn of(name: &str, qtype: u16) -> Self {
        Self { qtype, ..Self::new(name) }
    }

    /// With flags, or an opcode, in the header's second word.
    pub fn flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    /// With an OPT.
    pub fn opt(mut self, opt: Opt) -> Self {
        self.opts.push(opt);
        self
    }

    /// With a plain OPT.
    pub fn edns(self) -> Self {
        self.opt(Opt::default())
    }

    /// With DO.
    pub fn dnssec(self) -> Self {
        self.opt(Opt { flags: Opt::DO, ..Opt::default() })
    }

    /// The message.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let counts = [self.questions, 0, 0, self.opts.len() as u16];
        for number in [Self::ID, self.flags].into_iter().chain(counts) {
            octets.extend(number.to_be_bytes());
        }
        for _ in 0..self.questions {
            octets.extend(&self.name);
            octets.extend(self.qtype.to_be_bytes());
            octets.extend(self.qclass.to_be_bytes());
        }
        for opt in &self.opts {
            octets.extend(&opt.owner);
            octets.extend(rtype::OPT.to_be_bytes());
            octets.extend(opt.size.to_be_bytes());
            octets.extend([0, opt.version]);
            octets.extend(opt.flags.to_be_bytes());
            let length: usize = opt.options.iter().map(|(_, data)| data.len() + 4).sum();
            octets.extend((length as u16).to_be_bytes());
            for (code, data) in &opt.options {
                octets.extend(code.to_be_bytes());
                octets.extend((data.len() as u16).to_be_bytes());
                octets.extend(data);
            }
        }
        octets.extend(&self.trailing);
        octets
    }
}
