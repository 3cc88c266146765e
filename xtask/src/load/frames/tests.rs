//! The generator against the reflector.

use std::fs;

use super::*;
use crate::{cleanup::Scratch, load::reflector};

/// Floods until enough came back: it gives way to all else that runs on the machine.
fn flood(pair: &Pair, frames: &mut Frames) -> anyhow::Result<Flooded> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let flooded = frames.flood(pair, 64, Duration::from_millis(200))?;
        if flooded.counted.replies > 1000 || Instant::now() > deadline {
            return Ok(flooded);
        }
    }
}

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
            let plain = flood(&pair, &mut frames)?;
            let first = Ipv4Addr::new(198, 18, 0, 0);
            frames.spoof(&Sources { networks: 200, first, stride: 1 << 16, hosts: 0xff });
            let spoofed = flood(&pair, &mut frames)?;
            frames.pace(5000);
            let paced = frames.flood(&pair, 64, Duration::from_secs(1))?;
            let most = 6000.0 * paced.time.as_secs_f64();
            // Never more; how much less is up to what else the machine does.
            assert!(paced.sent > 0 && (paced.sent as f64) < most, "{paced:?}");
            Ok((plain, spoofed))
        })
        .expect("attached")
        .expect("flooded");
    for flooded in [plain, spoofed] {
        let Counted { replies, octets, rcodes, .. } = flooded.counted;
        // The last ones come while they are counted, each number by itself.
        assert!(replies > 1000 && replies.abs_diff(rcodes[0]) <= 64, "{flooded:?}");
        // Either the one or the other query, in turns: 82 and 67 octets with their headers.
        assert!(octets / replies > 60 && octets / replies < 85, "{flooded:?}");
        // Of those under way at the end some may come too late.
        assert!(replies + 64 >= flooded.sent * 9 / 10, "{flooded:?}");
    }
}
