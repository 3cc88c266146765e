//! Work in pieces, on every processor.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crate::locks::lock;

/// Does so many pieces of work, each thread with what `begin` gives it; what the threads were given, and
/// the results in the order of the pieces.
///
/// # Errors
/// Of the first piece that fails: pieces are begun in their order, and what was begun is ended.
pub fn side_by_side<W: Send, R: Send, E: Send>(
    pieces: usize,
    begin: impl Fn() -> W + Sync,
    one: impl Fn(&mut W, usize) -> Result<R, E> + Sync,
) -> Result<(Vec<W>, Vec<R>), E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<R, E>)>> = Mutex::default();
    let work = || {
        let mut with = begin();
        while !failed.load(Relaxed) {
            let piece = next.fetch_add(1, Relaxed);
            if piece >= pieces {
                break;
            }
            let result = one(&mut with, piece);
            failed.fetch_or(result.is_err(), Relaxed);
            lock(&results).push((piece, result));
        }
        with
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(pieces);
    let given = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut given = vec![work()];
        for other in others {
            match other.join() {
                Ok(with) => given.push(with),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        given
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(piece, _)| *piece);
    let results: Result<Vec<R>, E> = results.into_iter().map(|(_, result)| result).collect();
    Ok((given, results?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_and_results_stand_in_order() {
        for pieces in [0, 1, 2, 1000] {
            let outcome = side_by_side(pieces, Vec::new, |done: &mut Vec<usize>, piece| {
                done.push(piece);
                Ok::<_, ()>(piece * 2)
            });
            let (given, results) = outcome.expect("nothing fails");
            assert_eq!(results, (0..pieces).map(|piece| piece * 2).collect::<Vec<_>>());
            let mut done = given.concat();
            done.sort_unstable();
            assert_eq!(done, (0..pieces).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_failure_in_order_is_told() {
        let one = |(): &mut (), piece: usize| if piece >= 500 { Err(piece) } else { Ok(()) };
        for _ in 0..20 {
            assert_eq!(side_by_side(1000, || (), one).err(), Some(500));
        }
    }
}
