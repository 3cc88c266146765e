//! DNS cookies: RFC 7873, with the server cookies of RFC 9018, which all nodes that share a secret
//! believe.

use super::{Limiter, switch};
use crate::{
    bounds,
    layout::{Root, SECRETS_MAX, Secrets},
    scratch::{Scratch, edns},
    siphash::SipHash,
    wire::option,
};

/// Octets of the option in a reply: code, length, client cookie, server cookie.
pub const OPTION: u32 = 4 + CLIENT + SERVER;
/// Octets of a client cookie (RFC 7873, section 4.1).
const CLIENT: u32 = 8;
/// Octets of a server cookie (RFC 9018, section 4).
const SERVER: u32 = 16;

/// Seconds for which a server cookie is good (RFC 9018, section 4.3).
const LIFE: u32 = 3600;
/// Seconds after which the client is given a new one.
const FRESH: u32 = 1800;
/// How far in the future it may have been made: the nodes' clocks differ.
const AHEAD: u32 = 300;

/// Notes a COOKIE option whose data are `length` octets from `at`. Only the first counts (RFC 7873,
/// section 5.2).
#[inline(always)]
pub(crate) fn note(s: &mut Scratch, at: u32, length: u32) {
    if s.edns.get() & edns::COOKIE != 0 {
        return;
    }
    // RFC 7873, section 5.2.2: 8 octets, or with a server cookie 16 to 40. Ours has 16.
    let sound = length == CLIENT || (16..=40).contains(&length);
    let bits = if length == CLIENT + SERVER { edns::SERVER_COOKIE } else { 0 };
    s.edns.set(s.edns.get() | edns::COOKIE | bits);
    s.cookie.set(if sound { at } else { 0 });
}

/// Makes room for the cookie of the reply. Whoever has no secret does not know the option. False where it
/// is malformed.
#[inline(always)]
pub(crate) fn expect(root: &Root, s: &mut Scratch) -> bool {
    if root.limiting & switch::COOKIES == 0 || s.version.get() == 0 {
        s.edns.set(s.edns.get() & !(edns::COOKIE | edns::SERVER_COOKIE));
        return true;
    }
    s.opt_length.set(s.opt_length.get() + OPTION);
    s.cookie.get() != 0
}

/// Checks the client's server cookie and readies the one of the reply, where there is a client cookie.
#[inline(always)]
pub fn bake<L: Limiter>(platform: &L, s: &mut Scratch) {
    if s.edns.get() & edns::COOKIE == 0 {
        return;
    }
    let limits = &platform.root().limits;
    let nanoseconds = platform.now().wrapping_add(limits.wall);
    let now = (nanoseconds / 1_000_000_000) as u32;
    let secrets = if limits.secrets_now & 1 == 0 { &limits.secrets[0] } else { &limits.secrets[1] };
    let at = s.cookie.get();
    let baker = Baker {
        client: bounds::word(&s.message, at),
        version: s.version.get(),
        address: s.client.get(),
    };
    s.baked[0] = baker.client;
    if s.edns.get() & edns::SERVER_COOKIE != 0 {
        let shown = [bounds::word(&s.message, at + 8), bounds::word(&s.message, at + 16)];
        let judgement = baker.judge(secrets, shown, now);
        if judgement != Judgement::Bad {
            s.edns.set(s.edns.get() | edns::VALIDATED);
        }
        if judgement == Judgement::Good {
            s.baked[1] = shown[0];
            s.baked[2] = shown[1];
            return;
        }
    }
    let made = baker.make(secrets, now);
    s.baked[1] = made[0];
    s.baked[2] = made[1];
}

/// What a server cookie is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The client may go on using it.
    Good,
    /// It is believed, but a new one is due: half of its life is over, or its secret is being replaced.
    Old,
    /// Not made by us, not for this client, or too old.
    Bad,
}

/// What goes into a server cookie of the client's.
pub struct Baker {
    /// The client cookie, in memory order.
    pub client: u64,
    /// 4 or 6.
    pub version: u32,
    /// The client's address in memory order, as in [`Scratch::client`].
    pub address: [u64; 2],
}

impl Baker {
    /// Judges a server cookie, in memory order, at a time in seconds since 1970.
    #[inline(always)]
    pub fn judge(&self, secrets: &Secrets, shown: [u64; 2], now: u32) -> Judgement {
        let made = u32::from_be((shown[0] >> 32) as u32);
        // Serial arithmetic (RFC 1982), as RFC 9018, section 4.3, wants it.
        let age = now.wrapping_sub(made) as i32;
        if shown[0] as u8 != 1 || age > LIFE as i32 || age < -(AHEAD as i32) {
            return Judgement::Bad;
        }
        let mut place = 0;
        while place < SECRETS_MAX {
            if (place as u64) < secrets.length
                && self.hash(secrets.keys[place], shown[0]) == shown[1]
            {
                let good = place == 0 && age <= FRESH as i32;
                return if good { Judgement::Good } else { Judgement::Old };
            }
            place += 1;
        }
        Judgement::Bad
    }

    /// Makes a server cookie, in memory order.
    #[inline(always)]
    pub fn make(&self, secrets: &Secrets, now: u32) -> [u64; 2] {
        let head = 1 | u64::from(now.to_be()) << 32;
        [head, self.hash(secrets.keys[0], head)]
    }

    /// RFC 9018, section 4.4: client cookie, version, reserved, timestamp, address.
    #[inline(always)]
    fn hash(&self, key: [u64; 2], head: u64) -> u64 {
        let mut hash = SipHash::new(key);
        hash.word(self.client);
        hash.word(head);
        let mut last = 20 << 56 | self.address[0] & 0xffff_ffff;
        if self.version == 6 {
            hash.word(self.address[0]);
            hash.word(self.address[1]);
            last = 32 << 56;
        }
        hash.word(last);
        hash.finish()
    }
}

/// Writes the option to the reply's OPT, where writing stands.
#[inline(always)]
pub(crate) fn write(s: &mut Scratch) {
    let at = s.position.get();
    let head =
        u64::from(option::COOKIE.to_be()) | u64::from(((CLIENT + SERVER) as u16).to_be()) << 16;
    bounds::put(&mut s.opt, at, head);
    let baked = s.baked;
    bounds::put(&mut s.opt, at + 4, baked[0]);
    bounds::put(&mut s.opt, at + 12, baked[1]);
    bounds::put(&mut s.opt, at + 20, baked[2]);
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::{Baker, Judgement};
    use crate::layout::Secrets;

    /// Octets in hexadecimal, as words in memory order.
    fn words<const N: usize>(text: &str) -> [u64; N] {
        core::array::from_fn(|at| {
            u64::from_str_radix(&text[16 * at..16 * (at + 1)], 16).expect("digits").swap_bytes()
        })
    }

    fn secrets<const N: usize>(texts: [&str; N]) -> Secrets {
        let mut secrets = Secrets { length: N as u64, ..Secrets::default() };
        for (key, text) in secrets.keys.iter_mut().zip(texts) {
            *key = words(text);
        }
        secrets
    }

    fn baker(client: &str, address: &str) -> Baker {
        let [client] = words(client);
        match address.parse().expect("an address") {
            IpAddr::V4(v4) => {
                let address = [u64::from(u32::from_ne_bytes(v4.octets())), 0];
                Baker { client, version: 4, address }
            }
            IpAddr::V6(v6) => {
                let address = v6.to_bits().to_be();
                Baker { client, version: 6, address: [address as u64, (address >> 64) as u64] }
            }
        }
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    #[test]
    fn rfc9018_a1_learning_a_new_server_cookie() {
        let made =
            baker("2464c4abcf10c957", "198.51.100.100").make(&secrets([SECRET]), 1_559_731_985);
        assert_eq!(made, words("010000005cf79f111f8130c3eee29480"));
    }

    #[test]
    fn rfc9018_a2_the_same_client_learning_a_renewed_server_cookie() {
        let baker = baker("2464c4abcf10c957", "198.51.100.100");
        let (secrets, now) = (secrets([SECRET]), 1_559_734_385);
        let shown = words("010000005cf79f111f8130c3eee29480");
        assert_eq!(baker.judge(&secrets, shown, now), Judgement::Old);
        assert_eq!(baker.make(&secrets, now), words("010000005cf7a871d4a564a1442aca77"));
    }

    #[test]
    fn rfc9018_a3_another_client_learning_a_renewed_server_cookie() {
        let baker = baker("fc93fc62807ddb86", "203.0.113.203");
        let secrets = secrets([SECRET]);
        // Reserved octets that are not zero count as they came.
        let shown = words("01abcdef5cf78f71a314227b6679ebf5");
        assert_eq!(baker.judge(&secrets, shown, 0x5cf7_8f71 + 60), Judgement::Good);
        assert_eq!(baker.judge(&secrets, shown, 0x5cf7_8f71 + 3601), Judgement::Bad);
        assert_eq!(baker.make(&secrets, 1_559_734_700), words("010000005cf7a9acf73a7810aca2381e"));
    }

    #[test]
    fn rfc9018_a4_ipv6_query_with_a_rolled_over_secret() {
        let baker = baker("22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8");
        let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
        let now = 1_559_741_961;
        let shown = words("010000005cf7c57926556bd0934c72f8");
        assert_eq!(baker.judge(&secrets([old]), shown, now), Judgement::Good);
        assert_eq!(baker.judge(&secrets([new, old]), shown, now), Judgement::Old);
        assert_eq!(baker.judge(&secrets([new]), shown, now), Judgement::Bad);
        let made = baker.make(&secrets([new, old]), now);
        assert_eq!(made, words("010000005cf7c609a6bb79d16625507a"));
    }

    #[test]
    fn rfc9018_a_cookie_is_good_for_one_client_and_one_hour() {
        let (secrets, now) = (secrets([SECRET]), 2_000_000_000);
        let mine = baker("2464c4abcf10c957", "198.51.100.100");
        let made = mine.make(&secrets, now);
        for (later, judgement) in [
            (0, Judgement::Good),
            (1800, Judgement::Good),
            (1801, Judgement::Old),
            (3600, Judgement::Old),
            (3601, Judgement::Bad),
            (-300, Judgement::Good),
            (-301, Judgement::Bad),
        ] {
            let now = now.wrapping_add_signed(later);
            assert_eq!(mine.judge(&secrets, made, now), judgement, "{later} s later");
        }
        let neighbour = baker("2464c4abcf10c957", "198.51.100.101");
        assert_eq!(neighbour.judge(&secrets, made, now), Judgement::Bad);
        let other = baker("2464c4abcf10c958", "198.51.100.100");
        assert_eq!(other.judge(&secrets, made, now), Judgement::Bad);
        assert_eq!(mine.judge(&secrets, [made[0], made[1] ^ 1], now), Judgement::Bad);
        assert_eq!(mine.judge(&secrets, [made[0] + 1, made[1]], now), Judgement::Bad);
    }
}
