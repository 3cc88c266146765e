//! The algorithms of TSIG, each a digest over a shared secret.

use hmac::{Hmac, KeyInit, Mac};

use super::Fault;

macro_rules! algorithms {
    ($($name:ident = $text:literal, $wire:literal, $hash:ty;)*) => {
        /// The algorithms (RFC 8945, section 6); MD5 is not taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Algorithm { $($name,)* }

        impl Algorithm {
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }

            pub fn wire(self) -> &'static [u8] {
                match self { $(Self::$name => $wire,)* }
            }
        }

        /// A digest on its way.
        pub enum Running { $($name(Hmac<$hash>),)* }

        impl Running {
            pub fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
                match algorithm {
                    $(Algorithm::$name => Self::$name(
                        Hmac::new_from_slice(secret).expect("a secret has any length"),
                    ),)*
                }
            }

            pub fn update(&mut self, octets: &[u8]) {
                match self { $(Self::$name(mac) => mac.update(octets),)* }
            }

            pub fn finish(self) -> Vec<u8> {
                match self { $(Self::$name(mac) => mac.finalize().into_bytes().to_vec(),)* }
            }

            /// Compares in constant time. Truncated signatures are not taken.
            pub fn verify(self, signature: &[u8]) -> Result<(), Fault> {
                match self {
                    $(Self::$name(mac) =>
                        mac.verify_slice(signature).map_err(|_| Fault::Signature),)*
                }
            }
        }
    };
}

algorithms! {
    Sha1 = "hmac-sha1", b"\x09hmac-sha1\0", sha1::Sha1;
    Sha224 = "hmac-sha224", b"\x0bhmac-sha224\0", sha2::Sha224;
    Sha256 = "hmac-sha256", b"\x0bhmac-sha256\0", sha2::Sha256;
    Sha384 = "hmac-sha384", b"\x0bhmac-sha384\0", sha2::Sha384;
    Sha512 = "hmac-sha512", b"\x0bhmac-sha512\0", sha2::Sha512;
}
