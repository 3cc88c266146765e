//! Floods against the limits: what is reflected, what ordinary resolvers lose, what the limits cost.
//!
//! | module | what |
//! |---|---|
//! | [`field`] | servers, generator and resolvers |
//! | [`mod@reflection`] | forged sources: octets out for octets in, beside the peers' limits too |
//! | [`overload`] | random names, up to what the generator can do |
//! | [`mod@control`] | NOTIFY, transfers and BGP while a flood comes in |
//! | [`mod@cost`] | what limits cost: replies a second, memory |

mod control;
mod cost;
mod field;
mod overload;
mod reflection;

pub use control::control;
pub use cost::{cost, memory};
pub use overload::subdomain_flood;
pub use reflection::{neighbours, peers, reflection};

/// Limits as they are by default.
const LIMITED: &str = "[rate-limit]\nmode = \"on\"\n";
/// So many may be under way when most get no reply: the generator's own limit.
const UNBOUNDED: u64 = 1 << 16;
