//! The verifier is a budget: how many instructions it works through to accept each program.

use responder::{
    dataplane::{DataPlane, watch::Watch},
    store::StoreOptions,
};

/// Processed instructions that a program may take; the verifier gives up at a million. Half of it stays
/// in hand: other kernels prune less.
const BUDGET: u32 = 200_000;

#[test]
fn the_verifier_accepts_the_programs_within_the_budget() {
    // RESPONDER_LOG=debug shows the verifier's log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("RESPONDER_LOG"))
        .with_test_writer()
        .try_init();
    let options = StoreOptions { udp_size: 1232, id: "test".into() };
    let none = Watch::default();
    let all = Watch { shadow: 1000, debug: true };
    let kinds = [
        ("", none),
        ("/shadow", Watch { debug: false, ..all }),
        ("/debug", Watch { shadow: 0, ..all }),
        ("/shadow+debug", all),
    ];
    for (kind, watch) in kinds {
        let (plane, _store) = DataPlane::load_watched(&options, watch)
            .unwrap_or_else(|error| panic!("the kernel takes the programs: {error:#}"));
        let counts = plane.verified().expect("the kernel counts");
        assert_eq!(counts.len(), 2);
        for (program, count) in counts {
            println!("{program}{kind}: {count} instructions processed");
            assert!(2 * count <= BUDGET, "{program}: {count} is more than half of {BUDGET}");
        }
    }
}
