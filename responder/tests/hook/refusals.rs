//! What the kernel refuses: a hook that somebody else has, and programs that the verifier does not take.

use std::{
    fs::Permissions,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    process::Command,
};

use crate::{
    harness::{Node, Ran, fetch, query, run, serial, small_zone, zones},
    program::{self, Verdict},
    space::separate,
};
use hickory_proto::rr::RecordType;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// `CAP_SYS_ADMIN`, which stands for every other, and `CAP_PERFMON` of linux/capability.h.
const SYS_ADMIN_AND_PERFMON: [libc::c_ulong; 2] = [21, 38];

/// A node on `v0` with a zone.
fn node(mode: &str, user: &str, more: &str) -> Node {
    let node = Node::new("");
    let (port, zones) = (node.port, zones(&[("a.example.", "a.zone")]));
    node.write(
        "r.toml",
        &format!(
            "[node]\nid = \"test-node\"\nstate = \"state\"\n{user}[listen]\naddresses = \
             [\"127.0.0.1\"]\nport = {port}\n[xdp]\nmode = \"{mode}\"\ninterfaces = [\"v0\"]\npins = \
             \"bpf\"\n{zones}{more}"
        ),
    );
    node.write("a.zone", &small_zone(7));
    node
}

/// The start that fails, and the number of the program that it tells of.
fn refused(node: &Node, name: &str) -> (u32, String) {
    let Ran { code, err, .. } = node.run(&["serve", "--config", "r.toml"]);
    assert_eq!(code, Some(1), "{err}");
    let start = "error: v0 has another XDP program, number ";
    let rest = err.strip_prefix(start).unwrap_or_else(|| panic!("{err}"));
    let (number, rest) = rest.split_once(' ').unwrap();
    assert!(rest.starts_with(&format!("\"{name}\", and shares its hook with none: ")), "{err}");
    assert!(rest.contains("xdp.mode = \"tc\""), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    (number.parse().unwrap_or_else(|_| panic!("{err}")), err)
}

/// Does what stands between the backquote after `before` and the next.
fn obey(refusal: &str, before: &str) {
    let (_, command) = refusal.split_once(before).unwrap_or_else(|| panic!("{refusal}"));
    let (command, _) = command.split_once('`').unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let ran = run(Command::new(words[0]).args(&words[1..]));
    assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
}

/// The number of the XDP program of `v0`, as `ip` tells it.
fn occupant() -> Option<u32> {
    let links = run(Command::new("ip").args(["-json", "-details", "link", "show", "dev", "v0"]));
    let links: serde_json::Value = serde_json::from_str(&links.out).unwrap();
    Some(links[0]["xdp"]["prog"]["id"].as_u64()? as u32)
}

#[test]
fn a_hook_that_another_program_has_by_a_link_is_refused_by_name_with_what_frees_it() {
    separate();
    let link = program::attach("v0", Verdict::Pass).unwrap();
    for mode in ["auto", "native"] {
        let node = node(mode, "", "");
        if mode == "auto" {
            let daemon = node.serve();
            let plane = daemon.status()["data-plane"].clone();
            assert_eq!(plane["attachments"][0]["mode"], "tc", "{plane}");
            let warning = plane["attachments"][0]["warning"].to_string();
            assert!(warning.contains("another XDP program, number "), "{warning}");
            assert!(daemon.log().contains(" WARN v0 has another XDP program"), "{}", daemon.log());
            continue;
        }
        let (number, refusal) = refused(&node, "one_verdict");
        assert_eq!(Some(number), occupant());
        obey(&refusal, "part them with `");
        assert_eq!(occupant(), None, "the remedy is one");
        let daemon = node.serve();
        assert_eq!(daemon.status()["data-plane"]["attachments"][0]["mode"], "native");
    }
    drop(link);
}

#[test]
fn a_hook_that_another_program_has_by_netlink_is_refused_by_name_with_what_frees_it() {
    separate();
    let program = program::load(Verdict::Pass).unwrap();
    // XDP_FLAGS_SKB_MODE and XDP_FLAGS_DRV_MODE of linux/if_link.h.
    for flags in [2, 4] {
        set_by_netlink(&program, flags);
        let node = node("native", "", "");
        let (number, refusal) = refused(&node, "one_verdict");
        assert_eq!(Some(number), occupant());
        obey(&refusal, "shares its hook with none: `");
        assert_eq!(occupant(), None, "the remedy is one");
        let daemon = node.serve();
        assert_eq!(daemon.status()["data-plane"]["attachments"][0]["mode"], "native");
    }
}

#[test]
fn a_hook_that_another_node_serves_is_refused_even_where_only_a_helper_asks() {
    separate();
    let first = node("native", "", "");
    let _daemon = first.serve();
    for user in ["", "user = \"nobody\"\n"] {
        let second = node("native", user, "");
        if !user.is_empty() {
            // The helper is started by a daemon that becomes somebody else.
            std::fs::set_permissions(second.path("."), Permissions::from_mode(0o777)).unwrap();
        }
        let (_, refusal) = refused(&second, "responder_xdp");
        assert!(refusal.contains("another node's daemon serves it"), "{refusal}");
        assert!(refusal.contains("`responder detach --config FILE`"), "{refusal}");
    }
}

/// What `ip link set dev v0 xdp ...` does.
fn set_by_netlink(program: &OwnedFd, flags: u32) {
    let mut message = LinkMessage::default();
    message.header.index = responder::dataplane::index("v0").unwrap();
    let about = vec![LinkXdp::Fd(program.as_raw_fd()), LinkXdp::Flags(flags)];
    message.attributes = vec![LinkAttribute::Xdp(about)];
    let request = NetlinkPayload::from(RouteNetlinkMessage::SetLink(message));
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), request);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    socket.send(&octets, 0).unwrap();
    let (answer, _) = socket.recv_from_full().unwrap();
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).unwrap();
    let NetlinkPayload::Error(error) = answer.payload else { panic!("{answer:?}") };
    assert_eq!(error.code, None, "{error:?}");
}

/// Without `CAP_PERFMON` the kernel's verifier asks more of a program: it refuses ours, in earnest.
#[test]
fn programs_that_the_verifier_refuses_leave_a_node_that_serves_from_sockets_and_says_so() {
    for mode in ["native", "tc", "auto"] {
        separate();
        let node = node(mode, "", "[telemetry]\nlisten = \"127.0.0.1:9153\"\n");
        let daemon = node.serve_with(|command| {
            // SAFETY: prctl may be called between fork and exec. Who has no such capability needs none dropped.
            unsafe {
                command.pre_exec(|| {
                    for capability in SYS_ADMIN_AND_PERFMON {
                        libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
                    }
                    Ok(())
                });
            }
        });
        assert_eq!(serial(&daemon.ask(&query(1, "a.example.", RecordType::SOA))), 7);
        let status = daemon.status();
        let degraded = status["data-plane"]["degraded"].as_str().expect("a reason");
        assert!(degraded.contains("this kernel's verifier refuses responder_"), "{degraded}");
        assert!(degraded.contains("without CAP_PERFMON"), "{degraded}");
        assert_eq!(status["data-plane"]["configured"], mode);
        assert_eq!(status["data-plane"]["attachments"], serde_json::json!([]));
        assert_eq!(status["sockets"]["udp"]["reply"], 1);
        let text = node.run(&["status", "--config", "r.toml"]).out;
        assert!(text.contains("DEGRADED, only sockets answer: this kernel's verifier"), "{text}");
        let loud = " ERROR DEGRADED: the kernel does not answer, only sockets do: this kernel's";
        assert!(daemon.log().contains(loud), "{}", daemon.log());
        let (_, metrics) = fetch(9153, "GET /metrics");
        assert!(metrics.contains("responder_degraded{node=\"test-node\"} 1\n"), "{metrics}");
    }
}
