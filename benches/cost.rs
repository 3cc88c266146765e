//! What each class of answer costs in the kernel: the programs' own running time by `BPF_PROG_TEST_RUN`,
//! on a frame in memory, without driver and stack.
//!
//! `cargo bench -p responder --bench cost` prints the median of many runs; the first row is a frame that is
//! no IP at all, which is what calling a program and reading the clock cost by themselves.

use responder::{
    dataplane::{DataPlane, trial::HookPoint},
    store::StoreOptions,
    zone,
};

/// Runs of each row.
const RUNS: usize = 20_000;

fn main() -> anyhow::Result<()> {
    let options = StoreOptions { udp_size: 1232, id: "bench".into() };
    let (plane, store) = DataPlane::load(&options)?;
    let zones = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones");
    for apex in ["lac", "wildcard.example", "d"] {
        zone::load(&store, apex, &zones.join(format!("{apex}.zone")))?;
    }
    let deep = format!("{}lac", "a.".repeat(120));
    let rows = [
        ("refused", "www.example.org", 1),
        ("apex SOA", "lac", 6),
        ("positive", "www.nic.lac", 1),
        ("nodata", "www.nic.lac", 28),
        ("nxdomain", "doesnotexist.lac", 1),
        ("nxdomain, 121 labels", deep.as_str(), 1),
        ("referral, no glue", "echo.lac", 1),
        ("referral, glue", "alpha.lac", 1),
        ("referral, below", "www.alpha.lac", 1),
        ("referral, 26 glue", "india.lac", 1),
    ];
    println!("{:<24}{:>10}{:>10}{:>10}{:>10}", "ns", "xdp", "xdp edns", "tc", "tc edns");
    let mut arp = vec![0_u8; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    let empty = [HookPoint::Xdp, HookPoint::Tc].map(|hook| median(&plane, hook, &arp));
    println!("{:<24}{:>10}{:>10}{:>10}{:>10}", "(not IP)", empty[0], "", empty[1], "");
    for (label, name, qtype) in rows {
        let wire = zone::name::from_text(name).map_err(anyhow::Error::msg)?;
        print!("{label:<24}");
        for hook in [HookPoint::Xdp, HookPoint::Tc] {
            for edns in [false, true] {
                print!("{:>10}", median(&plane, hook, &frame(&wire, qtype, edns)));
            }
        }
        println!();
    }
    Ok(())
}

/// The median running time in nanoseconds.
fn median(plane: &DataPlane, hook: HookPoint, frame: &[u8]) -> u128 {
    let run = || plane.trial(hook, frame).expect("a run").duration.as_nanos();
    let mut times: Vec<u128> = (0..RUNS).map(|_| run()).collect();
    times.sort_unstable();
    times[RUNS / 2]
}

/// A query over IPv4 in an Ethernet frame.
fn frame(name: &[u8], qtype: u16, edns: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    message.extend(name);
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    if edns {
        message.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend((message.len() as u16 + 28).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x80, 1, 0, 53]);
    frame.extend((message.len() as u16 + 8).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(message);
    frame
}
