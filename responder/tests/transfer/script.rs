//! A primary that says what it is told to say.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use responder::transfer::tsig::{Key, Session};

use domain::{
    base::{
        Message, MessageBuilder, Name, Record, Rtype, Serial, Ttl,
        iana::{Class, Rcode},
        rdata::UnknownRecordData,
    },
    rdata::{A, Ns, Soa},
};

use crate::harness::{receive, send};

type Wire = Name<Vec<u8>>;

/// A record to say: owner, class, data.
#[derive(Debug, Clone, PartialEq)]
pub enum Say {
    /// The zone's SOA with this serial.
    Soa(u32),
    /// A name server of this owner.
    Ns(&'static str, &'static str),
    /// An address.
    A(&'static str, [u8; 4]),
    /// Anything: owner, type, class, data.
    Raw(&'static str, u16, u16, Vec<u8>),
}

/// What a primary says, and how it ends.
#[derive(Clone)]
pub struct Script {
    /// The serial of its answer to SOA.
    pub serial: u32,
    /// The messages of its answer to AXFR, and to IXFR where nothing else is said.
    pub messages: Vec<Vec<Say>>,
    /// Its answer to IXFR.
    pub differences: Differences,
    pub end: End,
    /// The timers: refresh, retry, expire.
    pub timers: [u32; 3],
    /// The key of its answers, and what is wrong with their signatures; none: they are not signed.
    pub signed: Option<(Arc<Key>, Flaw)>,
}

/// What is wrong with the signatures of a transfer; messages are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// An octet of this message's signature is another.
    Wrong(usize),
    /// An octet of this message was changed after it was signed.
    Changed(usize),
    /// The signature of this message was taken away.
    Stripped(usize),
    /// The clock is so many seconds ahead.
    Ahead(u64),
}

/// An answer to IXFR.
#[derive(Debug, Clone, PartialEq)]
pub enum Differences {
    /// As to AXFR.
    Whole,
    /// These messages.
    Say(Vec<Vec<Say>>),
    /// This response code, and nothing else.
    Refuse(Rcode),
}

/// What follows the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The connection stays until the other side closes it.
    Wait,
    /// It is closed.
    Close,
    /// It is closed within the next message, so many octets after its length.
    CloseWithin(usize),
    /// The last message is said again for ever.
    Repeat,
    /// The last message is said again for ever, a few times a second.
    Drip,
    /// It is reset.
    Reset,
}

impl Script {
    /// A whole small zone.
    pub fn good(serial: u32) -> Self {
        let body =
            vec![Say::Ns("tld.test.", "ns.tld.test."), Say::A("ns.tld.test.", [192, 0, 2, 1])];
        Self {
            serial,
            messages: vec![
                vec![Say::Soa(serial)],
                body,
                vec![Say::A("www.tld.test.", [192, 0, 2, 2]), Say::Soa(serial)],
            ],
            differences: Differences::Whole,
            end: End::Wait,
            timers: [3600, 3600, 86_400],
            signed: None,
        }
    }
}

/// A scripted primary; it goes with the test.
pub struct Scripted {
    pub port: u16,
    script: Arc<Mutex<Option<Script>>>,
    pub sent: Arc<AtomicU64>,
}

impl Scripted {
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Some(script)));
        let sent = Arc::new(AtomicU64::new(0));
        let (current, count) = (Arc::clone(&script), Arc::clone(&sent));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let script = current.lock().unwrap().clone();
                let (Some(script), Ok(stream)) = (script, stream) else { continue };
                let count = Arc::clone(&count);
                // What the other side does to the connection is its own affair.
                thread::spawn(move || {
                    let _ = std::panic::catch_unwind(|| play(stream, &script, &count));
                });
            }
        });
        Self { port, script, sent }
    }

    /// Plays this from the next connection on; without a script connections are closed at once.
    pub fn set(&self, script: Option<Script>) {
        *self.script.lock().unwrap() = script;
    }
}

fn play(mut stream: std::net::TcpStream, script: &Script, count: &AtomicU64) {
    use std::io::Write;

    while let Some(mut query) = receive(&mut stream) {
        let mut signer = Signer::of(&mut query, script);
        let question = Message::from_octets(query).unwrap();
        if question.sole_question().unwrap().qtype() == Rtype::SOA {
            let answer = message(&question, &[Say::Soa(script.serial)], script);
            send(&mut stream, &signer.sound(answer));
            continue;
        }
        let messages = match (&script.differences, question.sole_question().unwrap().qtype()) {
            (Differences::Say(messages), Rtype::IXFR) => messages,
            (Differences::Refuse(rcode), Rtype::IXFR) => {
                let refusal = MessageBuilder::new_vec().start_answer(&question, *rcode).unwrap();
                send(&mut stream, &signer.sound(refusal.finish()));
                continue;
            }
            _ => &script.messages,
        };
        for (number, says) in messages.iter().enumerate() {
            send(&mut stream, &signer.flawed(message(&question, says, script), number));
        }
        match script.end {
            End::Wait => {}
            End::Close => return,
            End::CloseWithin(octets) => {
                stream.write_all(&[1, 0]).unwrap();
                stream.write_all(&vec![0; octets]).unwrap();
                return;
            }
            End::Reset => {
                let now = Some(std::time::Duration::ZERO);
                socket2::SockRef::from(&stream).set_linger(now).unwrap();
                return;
            }
            End::Repeat | End::Drip => {
                let last = message(&question, messages.last().unwrap(), script);
                let octets = [&(last.len() as u16).to_be_bytes()[..], &last].concat();
                while stream.write_all(&octets).is_ok() {
                    count.fetch_add(octets.len() as u64, Relaxed);
                    if script.end == End::Drip {
                        thread::sleep(std::time::Duration::from_millis(200));
                    }
                }
                return;
            }
        }
    }
}

/// Signs the answers to one question, if they are to be signed.
struct Signer(Option<(Session, Flaw)>);

impl Signer {
    /// Takes the signature of the question away.
    fn of(query: &mut Vec<u8>, script: &Script) -> Self {
        let signed = script.signed.as_ref().map(|(key, flaw)| {
            let session = Session::requested(&[Arc::clone(key)], query, now());
            (session.unwrap().expect("a signed question"), *flaw)
        });
        Self(signed)
    }

    /// A message with a signature that is right, but for the time.
    fn sound(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        if let Some((session, flaw)) = &mut self.0 {
            let ahead = if let Flaw::Ahead(seconds) = flaw { *seconds } else { 0 };
            session.sign(&mut message, now() + ahead);
        }
        message
    }

    /// A message of the transfer.
    fn flawed(&mut self, plain: Vec<u8>, number: usize) -> Vec<u8> {
        let mut message = self.sound(plain.clone());
        match self.0.as_ref().map(|(_, flaw)| *flaw) {
            // Behind the digest stand the ID, the error and the length of nothing.
            Some(Flaw::Wrong(wrong)) if wrong == number => {
                let last = message.len() - 7;
                message[last] ^= 1;
            }
            // The last octet in front of the signature.
            Some(Flaw::Changed(changed)) if changed == number => message[plain.len() - 1] ^= 1,
            Some(Flaw::Stripped(stripped)) if stripped == number => message = plain,
            _ => {}
        }
        message
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn name(text: &str) -> Wire {
    text.parse().unwrap()
}

fn message(question: &Message<Vec<u8>>, says: &[Say], script: &Script) -> Vec<u8> {
    let mut answer = MessageBuilder::new_vec().start_answer(question, Rcode::NOERROR).unwrap();
    answer.header_mut().set_aa(true);
    let ttl = Ttl::from_secs(300);
    for say in says {
        match say {
            Say::Soa(serial) => {
                let [refresh, retry, expire] = script.timers.map(Ttl::from_secs);
                let (zone, mname) = (name("tld.test."), name("ns.tld.test."));
                let soa =
                    Soa::new(mname, zone.clone(), Serial(*serial), refresh, retry, expire, ttl);
                answer.push(Record::new(zone, Class::IN, ttl, soa)).unwrap();
            }
            Say::Ns(owner, host) => {
                answer.push(Record::new(name(owner), Class::IN, ttl, Ns::new(name(host)))).unwrap();
            }
            Say::A(owner, address) => {
                let data = A::new((*address).into());
                answer.push(Record::new(name(owner), Class::IN, ttl, data)).unwrap();
            }
            Say::Raw(owner, rtype, class, data) => {
                let data =
                    UnknownRecordData::from_octets(Rtype::from_int(*rtype), data.clone()).unwrap();
                let class = Class::from_int(*class);
                answer.push(Record::new(name(owner), class, ttl, data)).unwrap();
            }
        }
    }
    answer.finish()
}
