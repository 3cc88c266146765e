//! TSIG (RFC 8945): messages and streams of messages that a shared key signs.
//!
//! `domain` 0.12.3, the newest release when this was looked at, reads the record. Its own signing
//! (`domain::tsig`) stands on ring, which has no SHA-224, and its list of algorithms is closed: it cannot
//! be given hmac-sha224. One way to sign is better than two, so the arithmetic for all five stands here,
//! over RustCrypto's digests.
//!
//! | module | what |
//! |---|---|
//! | [`signature`] | the record of a message: read, checked, taken away, written |
//! | [`algorithm`] | the digests |

mod algorithm;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::{base::iana::TsigRcode, rdata::tsig::Time48, utils::base64};
use zeroize::Zeroizing;

use self::{
    algorithm::{Algorithm, Running},
    signature::{Signature, Tail, Variables, append},
};
use crate::{config, privilege::read_secret, zone::name};

/// How far the clocks of two servers may be apart, in seconds (RFC 8945, section 10).
const FUDGE: u16 = 300;
/// Messages that may go unsigned between two signed ones (RFC 8945, section 5.3.1).
const UNSIGNED: usize = 99;

/// A key and its secret.
pub struct Key {
    /// Its name: lower case, wire form.
    name: Vec<u8>,
    algorithm: Algorithm,
    secret: Zeroizing<Vec<u8>>,
}

/// Why a message is not taken for what its signer sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read as far as its TSIG record, or that stands where it must not.
    #[error("the TSIG record is malformed")]
    Malformed,
    /// It has no signature where it needs one.
    #[error("the message is not signed")]
    Unsigned,
    /// More than 99 messages without a signature, or the last had none.
    #[error("too many messages in a row are not signed")]
    TooManyUnsigned,
    /// Another key or algorithm than the one agreed upon.
    #[error("it is signed with another key or algorithm than agreed")]
    Key,
    /// The signature is not that of this message.
    #[error("the signature is wrong")]
    Signature,
    /// The clocks are too far apart.
    #[error("the clocks are {0} s apart, more than the {FUDGE} s that TSIG allows")]
    Time(u64),
    /// The peer says so: BADKEY.
    #[error("the peer does not know the key, or not with this algorithm (BADKEY)")]
    PeerKey,
    /// The peer says so: BADSIG.
    #[error("the peer finds our signature wrong (BADSIG): is the secret the same?")]
    PeerSignature,
    /// The peer says so: BADTIME.
    #[error("the peer finds our clock too far from its own (BADTIME): compare them")]
    PeerTime,
    /// The peer says something else.
    #[error("the peer reports TSIG error {0}")]
    Peer(u16),
}

impl Key {
    /// Reads a key's secret from its file.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn load(key: &config::Key) -> Result<Self, String> {
        let file = key.secret_file.display();
        let told = |error: &dyn std::fmt::Display| {
            format!("the secret of key \"{}\" ({file}): {error}", key.name)
        };
        let text = read_secret(&key.secret_file).map_err(|error| told(&error))?;
        let mut compact = Zeroizing::new(String::with_capacity(text.len()));
        compact.extend(text.split_ascii_whitespace());
        let secret: Zeroizing<Vec<u8>> = base64::decode(&compact)
            .map(Zeroizing::new)
            .map_err(|error| told(&format!("not base64: {error}")))?;
        if secret.is_empty() {
            return Err(told(&"it is empty"));
        }
        let algorithm = Algorithm::from_text(&key.algorithm)
            .ok_or_else(|| told(&format!("{} is not known", key.algorithm)))?;
        Ok(Self { name: name::from_text_lower(&key.name)?, algorithm, secret })
    }

    /// Its name: lower case, wire form.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    fn mac(&self) -> Running {
        Running::new(self.algorithm, &self.secret)
    }
}

/// One side of an exchange that is signed with one key: it signs what it sends and checks what it
/// receives, each signature covering the one before.
pub struct Session {
    key: Arc<Key>,
    /// The last signature of this exchange.
    prior: Vec<u8>,
    /// The digest since then, if unsigned messages came.
    running: Option<Running>,
    unsigned: usize,
    /// Whether an answer was signed or checked before: then only times are covered, no names.
    answered: bool,
}

impl Session {
    /// Signs a request; what comes back is checked by [`Session::check`].
    pub fn request(key: &Arc<Key>, message: &mut Vec<u8>, now: u64) -> Self {
        let mut mac = key.mac();
        mac.update(message);
        let variables = Variables::of(key, now);
        mac.update(&variables.octets());
        let prior = mac.finish();
        variables.append(message, &prior);
        Self { key: Arc::clone(key), prior, running: None, unsigned: 0, answered: false }
    }

    /// Checks a request, and takes its TSIG record away. None where it is not signed.
    ///
    /// # Errors
    /// What is wrong with it; [`refuse`] makes the answer.
    pub fn requested(
        keys: &[Arc<Key>],
        message: &mut Vec<u8>,
        now: u64,
    ) -> Result<Option<Self>, Fault> {
        let Some(signature) = Signature::of(message)? else { return Ok(None) };
        let fits = |key: &&Arc<Key>| signature.is_by(key);
        let key = Arc::clone(keys.iter().find(fits).ok_or(Fault::Key)?);
        let mut mac = key.mac();
        signature.strip(message);
        mac.update(message);
        mac.update(&signature.variables(&key).octets());
        mac.verify(&signature.mac)?;
        signature.check_time(now)?;
        let prior = signature.mac;
        Ok(Some(Self { key, prior, running: None, unsigned: 0, answered: false }))
    }

    /// Signs the next answer to a checked request.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let mut mac = self.take_running();
        mac.update(message);
        let variables = Variables::of(&self.key, now);
        mac.update(&if self.answered { variables.times() } else { variables.octets() });
        self.prior = mac.finish();
        self.answered = true;
        variables.append(message, &self.prior);
    }

    /// Checks the next answer to a signed request, and takes its TSIG record away.
    ///
    /// # Errors
    /// The message is not to be believed, and the stream ends.
    pub fn check(&mut self, message: &mut Vec<u8>, now: u64) -> Result<(), Fault> {
        let Some(signature) = Signature::of(message)? else {
            if !self.answered {
                return Err(Fault::Unsigned);
            }
            if self.unsigned == UNSIGNED {
                return Err(Fault::TooManyUnsigned);
            }
            self.unsigned += 1;
            let mut mac = self.take_running();
            mac.update(message);
            self.running = Some(mac);
            return Ok(());
        };
        signature.peer_fault()?;
        if !signature.is_by(&self.key) {
            return Err(Fault::Key);
        }
        let mut mac = self.take_running();
        signature.strip(message);
        mac.update(message);
        let variables = signature.variables(&self.key);
        mac.update(&if self.answered { variables.times() } else { variables.octets() });
        mac.verify(&signature.mac)?;
        signature.check_time(now)?;
        if signature.error == TsigRcode::BADTIME.to_int() {
            return Err(Fault::PeerTime);
        }
        self.prior = signature.mac;
        self.answered = true;
        self.unsigned = 0;
        Ok(())
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Octets that a signature adds to a message, at most.
    pub fn room(&self) -> usize {
        // Type, class, TTL, length; time, fudge, length of the digest, ID, error, length of the rest.
        const FIXED: usize = 10 + 16;
        const LONGEST_DIGEST: usize = 64;
        FIXED + self.key.name.len() + self.key.algorithm.wire().len() + LONGEST_DIGEST
    }

    /// Ends a stream: its last message must have been signed.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.unsigned == 0 { Ok(()) } else { Err(Fault::TooManyUnsigned) }
    }

    /// The digest that goes on from the last signature.
    fn take_running(&mut self) -> Running {
        self.running.take().unwrap_or_else(|| {
            let mut mac = self.key.mac();
            mac.update(&(self.prior.len() as u16).to_be_bytes());
            mac.update(&self.prior);
            mac
        })
    }
}

/// Adds to the answer to a request what is wrong with its signature (RFC 8945, section 5.3.2). Only
/// BADTIME is signed: otherwise there is nothing to sign with.
pub fn refuse(request: &[u8], fault: &Fault, keys: &[Arc<Key>], reply: &mut Vec<u8>, now: u64) {
    let Ok(Some(signature)) = Signature::of(request) else { return };
    let Some(key) = keys.iter().find(|key| signature.is_by(key)) else {
        // A key that we do not know is named as it was.
        append(
            reply,
            &signature.key,
            &signature.algorithm,
            &Tail {
                time: signature.time,
                fudge: signature.fudge,
                mac: &[],
                error: TsigRcode::BADKEY.to_int(),
                other: &[],
            },
        );
        return;
    };
    let (error, other) = match fault {
        Fault::Time(_) => (TsigRcode::BADTIME, Time48::from_u64(now).into_octets().to_vec()),
        _ => (TsigRcode::BADSIG, Vec::new()),
    };
    let variables = Variables {
        key,
        time: signature.time,
        fudge: signature.fudge,
        error: error.to_int(),
        other: &other,
    };
    let mac = if error == TsigRcode::BADTIME {
        let mut mac = key.mac();
        mac.update(&(signature.mac.len() as u16).to_be_bytes());
        mac.update(&signature.mac);
        mac.update(reply);
        mac.update(&variables.octets());
        mac.finish()
    } else {
        Vec::new()
    };
    variables.append(reply, &mac);
}
