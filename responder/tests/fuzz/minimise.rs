//! The smallest frame that still shows what a large one showed.

use super::judge::network;

/// Most runs that a search may take.
const RUNS: usize = 50_000;

/// Takes octets out of a frame and sets others to zero as long as it `differs`.
pub fn minimise(frame: &[u8], differs: &mut dyn FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = frame.to_vec();
    let mut runs = 0;
    let mut still = |candidate: &[u8]| {
        runs += 1;
        runs <= RUNS && candidate.len() >= 14 && differs(candidate)
    };
    loop {
        let before = best.clone();
        let mut size = best.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at + size <= best.len() {
                let mut candidate = best.clone();
                candidate.drain(at..at + size);
                let mut repaired = candidate.clone();
                repair(&mut repaired);
                match [repaired, candidate].into_iter().find(|candidate| still(candidate)) {
                    Some(smaller) => best = smaller,
                    None => at += size,
                }
            }
            size /= 2;
        }
        // Whole labels, and whatever else begins with its length.
        let mut at = 0;
        while at < best.len() {
            let end = at + usize::from(best[at]) + 1;
            let mut candidate = best.clone();
            candidate.drain(at..end.min(best.len()));
            repair(&mut candidate);
            if end <= best.len() && still(&candidate) { best = candidate } else { at += 1 }
        }
        for at in 0..best.len() {
            if best[at] != 0 {
                let mut candidate = best.clone();
                candidate[at] = 0;
                if still(&candidate) {
                    best = candidate;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

/// Makes the lengths of IP and UDP agree with the frame's.
fn repair(frame: &mut [u8]) {
    let ip = network(frame);
    let v4 = frame.get(ip).is_some_and(|octet| octet >> 4 == 4);
    let (header, total) = if v4 { (20, 2) } else { (40, 4) };
    let Some(datagram) = frame.len().checked_sub(ip + header).filter(|octets| *octets >= 8) else {
        return;
    };
    let stated = if v4 { datagram + header } else { datagram };
    frame[ip + total..ip + total + 2].copy_from_slice(&(stated as u16).to_be_bytes());
    let length = ip + header + 4;
    frame[length..length + 2].copy_from_slice(&(datagram as u16).to_be_bytes());
}
