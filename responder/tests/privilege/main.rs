//! A daemon with `node.user`: what it has given up, and what somebody who took it over can do. Needs root,
//! and a network namespace that each test makes for itself.

// Made for a test that uses all of it.
#[allow(dead_code)]
#[path = "../daemon/harness.rs"]
mod harness;
mod intruder;
mod node;
mod space;

use std::{collections::BTreeSet, fs, process::Command};

use hickory_proto::rr::RecordType;

use self::{
    harness::query,
    node::{Confined, SERVICE, USER},
};

/// `CAP_NET_ADMIN`, `CAP_SYS_NICE`, `CAP_PERFMON`, `CAP_BPF`: the bits of linux/capability.h.
const HELPER: u64 = 1 << 12 | 1 << 23 | 1 << 38 | 1 << 39;

/// What /proc says of a thread.
fn status(process: u32, thread: &str, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap_or_else(|| panic!("no {key} of {process}")).trim().to_owned()
}

fn capabilities(process: u32, thread: &str, set: &str) -> u64 {
    u64::from_str_radix(&status(process, thread, set), 16).unwrap()
}

/// Those of its threads that are there now: one that has nothing to do ends after a while.
fn threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| task.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_serving_does_not_need_is_gone() {
    let node = Confined::new("");
    let daemon = node.serve();
    let user = node::user(USER).to_string();
    let daemons = threads(daemon.pid());
    assert!(daemons.len() > 2, "the daemon has threads");
    for thread in &daemons {
        let told = |key| status(daemon.pid(), thread, key);
        let users: BTreeSet<String> =
            told("Uid").split_ascii_whitespace().map(str::to_owned).collect();
        assert_eq!(users, BTreeSet::from([user.clone()]));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(capabilities(daemon.pid(), thread, set), 0, "{set}");
        }
        assert_eq!((told("NoNewPrivs").as_str(), told("Seccomp").as_str()), ("1", "2"));
        assert_eq!(told("Groups"), status(daemon.pid(), thread, "Gid").split('\t').next().unwrap());
    }
    let helper = node.helper(&daemon);
    for thread in threads(helper) {
        let has = |set| capabilities(helper, &thread, set);
        assert_eq!((has("CapPrm"), has("CapEff")), (HELPER, HELPER));
        assert_eq!((has("CapInh"), has("CapBnd"), has("CapAmb")), (0, 0, 0));
        let told = |key| status(helper, &thread, key);
        assert_eq!((told("NoNewPrivs").as_str(), told("Seccomp").as_str()), ("1", "2"));
    }
    assert!(daemon.log().contains("privileges given up"), "{}", daemon.log());
}

#[test]
fn it_serves_and_reloads_and_leaves_nothing_behind() {
    let node = Confined::new("");
    let mut daemon = node.serve();
    let status = daemon.status();
    assert_eq!(status["data-plane"]["attachments"][0]["mode"], "native", "{}", daemon.log());
    assert_eq!(status["store-segments"], 1);
    let question = query(1, "www.a.example.", RecordType::A);
    assert!(daemon.ask(&question).len() > question.len());
    daemon.node.write("a.zone", &harness::small_zone(8));
    node.give_away("a.zone");
    daemon.signal(libc::SIGHUP);
    daemon.until("the new serial", || daemon.zone("a.example.")["serial"] == 8);
    assert!(node.pins().iter().any(|pin| pin.starts_with("xdp-")), "{:?}", node.pins());
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
    assert_eq!(node.pins(), Vec::<String>::new());
}

#[test]
fn one_that_was_killed_is_followed_by_one_that_goes_on_with_its_store() {
    let node = Confined::new("");
    let daemon = node.serve();
    assert_eq!(daemon.status()["data-plane"]["adopted"], false);
    let program = |daemon: &harness::Daemon<'_>| {
        daemon.status()["data-plane"]["attachments"][0]["program"].clone()
    };
    let before = program(&daemon);
    // Dropped, it is killed.
    drop(daemon);
    assert!(node.pins().iter().any(|pin| pin.starts_with("xdp-")), "{:?}", node.pins());
    let mut daemon = node.serve();
    assert_eq!(daemon.status()["data-plane"]["adopted"], true, "{}", daemon.log());
    assert_ne!(program(&daemon), before);
    assert_eq!(daemon.zone("a.example.")["serial"], 7);
    // What it goes on with it can write.
    daemon.node.write("a.zone", &harness::small_zone(8));
    node.give_away("a.zone");
    daemon.signal(libc::SIGHUP);
    daemon.until("the new serial", || daemon.zone("a.example.")["serial"] == 8);
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
    assert_eq!(node.pins(), Vec::<String>::new());
}

#[test]
fn its_services_are_announced_by_the_helper_and_judged_by_the_kernels_program() {
    let node = Confined::with_addresses(
        &["127.0.0.1", SERVICE],
        "[[service]]\nname = \"any\"\nprefixes = [\"192.0.2.0/24\"]\naddress = { interface = \"lo\" \
         }\nhealth = { interval = \"100ms\" }\n",
    );
    // Without a carrier there is nothing to announce.
    let up = Command::new("ip").args(["link", "set", "v1", "up"]).status().unwrap();
    assert!(up.success());
    let has_address = || {
        let shown = Command::new("ip").args(["address", "show", "dev", "lo"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains(&format!("inet {SERVICE}/"))
    };
    assert!(!has_address());
    let mut daemon = node.serve();
    let family = || daemon.status()["services"][0]["families"][0].clone();
    daemon.until("the route", || family()["route"] == "announced");
    assert!(has_address(), "{}", daemon.log());
    // A busy machine may be late with a reply, now and then.
    daemon.until("a look without fault", || family()["faults"] == serde_json::json!([]));
    let family = family();
    // No note says that the programs could not be tried; and what was tried is told from what came.
    assert_eq!(family["notes"], serde_json::json!([]), "{family}");
    let plane = daemon.status()["data-plane"].clone();
    assert!(plane["probes"]["positive"].as_u64() > Some(0), "{plane}");
    assert_eq!(plane["xdp"]["answered"], 0, "{plane}");
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
    assert!(!has_address(), "{}", daemon.log());
}

#[test]
fn it_does_not_go_on_without_its_helper() {
    let node = Confined::new("");
    let mut daemon = node.serve();
    let helper = node.helper(&daemon);
    // SAFETY: no memory is involved; the helper was just found to be the daemon's child.
    assert_eq!(unsafe { libc::kill(helper as i32, libc::SIGKILL) }, 0);
    assert_eq!(daemon.wait(), Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("the helper process has ended"), "{}", daemon.log());
    // What the kernel has it keeps, for the daemon that follows; or until it is detached.
    assert!(node.pins().iter().any(|pin| pin.starts_with("xdp-")), "{:?}", node.pins());
    let ran = node.node.run(&["detach", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(node.pins(), Vec::<String>::new(), "{ran:?}");
}

#[test]
fn whoever_takes_the_daemon_over_gets_nowhere() {
    if let Some(node) = intruder::node() {
        // The daemon of the test runs it.
        intruder::try_everything(&node);
    }
    let node = Confined::with_intruder("whoever_takes_the_daemon_over_gets_nowhere");
    let daemon = node.serve();
    let report = || daemon.zone("b.example.")["last-error"].as_str().unwrap_or_default().to_owned();
    daemon.until("the intruder's report", || report().contains("intruder: done"));
    let report = report();
    let tried: Vec<&str> =
        report.split("; ").filter_map(|line| line.strip_prefix("tried ")).collect();
    assert!(tried.len() >= intruder::ATTEMPTS, "{report}");
    for attempt in tried {
        assert!(attempt.ends_with(": refused"), "{attempt}\n{report}");
    }
    for held in report.split("; ").filter_map(|line| line.strip_prefix("holds ")) {
        let folder = node.node.path("").display().to_string();
        let daemons =
            ["socket:", "anon_inode:", &folder].iter().any(|start| held.starts_with(start));
        assert!(!daemons, "a descriptor of the daemon's: {held}\n{report}");
    }
    // It was run at all, where the daemon runs: as the daemon's user.
    assert!(report.contains(&format!("user {}", node::user(USER))), "{report}");
    assert!(node.pins().iter().any(|pin| pin.starts_with("xdp-")), "{:?}", node.pins());
}
