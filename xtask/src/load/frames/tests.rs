//! The generator against the reflector.

use std::fs;

use super::*;
use crate::{cleanup::Scratch, load::reflector};

#[test]
fn what_is_sent_comes_back() {
    let folder = Scratch::create().expect("a folder");
    let queries = folder.path().join("queries");
    fs::write(&queries, "www.example. A D\nexample. SOA\n").expect("written");
    let pair = Pair::create().expect("root");
    reflector::attach(&pair, folder.path()).expect("clang");
    let (plain, spoofed) = pair
        .with_free_client_interface(|| -> anyhow::Result<_> {
            let mut frames = Frames::attach(&pair, &queries, folder.path())?;
            let time = Duration::from_millis(200);
            let plain = frames.flood(&pair, 64, time)?;
            let first = Ipv4Addr::new(198, 18, 0, 0);
            frames.spoof(&Sources { networks: 200, first, stride: 1 << 16, hosts: 0xff });
            let spoofed = frames.flood(&pair, 64, time)?;
            frames.pace(5000);
            let paced = frames.flood(&pair, 64, Duration::from_secs(1))?;
            assert!((3000..=6000).contains(&paced.sent), "{paced:?}");
            Ok((plain, spoofed))
        })
        .expect("attached")
        .expect("flooded");
    for flooded in [plain, spoofed] {
        let Counted { replies, octets, rcodes, .. } = flooded.counted;
        assert!(replies > 1000 && replies == rcodes[0], "{flooded:?}");
        // Either the one or the other query, in turns: 82 and 67 octets with their headers.
        assert!(octets / replies > 60 && octets / replies < 85, "{flooded:?}");
        assert!(flooded.answered() > 0.9, "{flooded:?}");
    }
}
