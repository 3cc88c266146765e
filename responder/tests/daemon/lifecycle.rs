//! From start to end: locks, ports, signals, and what a failing start says.

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt};

use hickory_proto::rr::RecordType;

use crate::harness::{
    Daemon, Node, Ran, free_port, query, receive, send, serial, shown, small_zone, zones,
};

fn node() -> Node {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", &small_zone(7));
    node
}

/// A failing start: exit code 1 and one line.
fn refusal(line: &str) -> Ran {
    Ran { code: Some(1), out: String::new(), err: format!("error: {line}\n") }
}

#[test]
fn udp_and_tcp_answer_alike_and_status_counts_them() {
    let node = node();
    let daemon = node.serve();
    let question = query(1, "www.a.example.", RecordType::A);
    let over_udp = daemon.ask(&question);
    let mut stream = daemon.tcp();
    send(&mut stream, &question);
    assert_eq!(receive(&mut stream).as_deref(), Some(over_udp.as_slice()));

    let status = daemon.status();
    assert_eq!(status["node"]["id"], "test-node");
    assert_eq!(status["node"]["pid"], daemon.pid());
    assert_eq!(status["node"]["ready"], true);
    assert_eq!(status["data-plane"]["configured"], "off");
    assert_eq!(status["data-plane"]["attachments"], serde_json::json!([]));
    assert_eq!(status["sockets"]["udp"]["reply"], 1);
    assert_eq!(status["sockets"]["tcp"]["reply"], 1);
    assert_eq!(status["sockets"]["tcp"]["connection"], 1);
    let zone = daemon.zone("a.example.");
    assert_eq!(zone["state"], "serving");
    assert_eq!(zone["serial"], 7);
    assert_eq!(zone["records"], 4);
    assert_eq!(zone["names"], 3);
    assert!(zone["bytes"].as_u64().unwrap() > 0);
    assert!(zone["loaded-at"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(zone["file"], shown(&node.path("a.zone")));
}

#[test]
fn status_is_worth_reading() {
    let node = Node::new(&format!(
        "{}[[zone]]\nname = \"sv.\"\nprimaries = [{{ address = \"127.0.0.1\", port = 9 }}]\n",
        zones(&[("a.example.", "a.zone")])
    ));
    node.write("a.zone", &small_zone(7));
    let daemon = node.serve();
    daemon.until("a refused connection", || daemon.zone("sv.")["state"] == "failed");
    let text = node.run(&["status", "--config", "r.toml"]).out;
    assert!(text.starts_with("test-node: responder "), "{text}");
    assert!(text.contains("\na.example.  serving "), "{text}");
    assert!(text.contains("\nsv.         failed    \n  from 127.0.0.1:9, next"), "{text}");
    assert!(text.contains("\n  127.0.0.1:9: no connection: Connection refused"), "{text}");
}

#[test]
fn either_signal_ends_it_cleanly() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let node = node();
        let mut daemon = node.serve();
        let socket = node.path("state/control.sock");
        let mode = fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        daemon.signal(signal);
        assert_eq!(daemon.notification(), "STOPPING=1");
        assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
        assert!(!socket.exists());
        UdpSocket::bind(("127.0.0.1", node.port)).expect("the port is free again");
    }
}

#[test]
fn without_a_daemon_commands_say_so() {
    let node = node();
    let line = format!(
        "no daemon listens at {}: start it with `responder serve`, or name another with --config \
         or --socket",
        shown(&node.path("state/control.sock"))
    );
    let config = shown(&node.path("r.toml"));
    let socket = shown(&node.path("state/control.sock"));
    assert_eq!(node.run(&["status", "--config", &config]), refusal(&line));
    assert_eq!(node.run(&["status", "--socket", &socket]), refusal(&line));
    assert_eq!(node.run(&["zone", "reload", "--config", &config]), refusal(&line));
}

#[test]
fn of_a_daemon_that_hangs_commands_say_so() {
    let node = node();
    let daemon = node.serve();
    daemon.halt();
    let line = "the daemon at state/control.sock does not answer: its log may tell why";
    assert_eq!(node.run(&["status", "--config", "r.toml"]), refusal(line));
    daemon.signal(libc::SIGCONT);
    assert_eq!(daemon.status()["node"]["ready"], true);
}

#[test]
fn detach_is_for_after_the_daemon() {
    let node = node();
    let pins = node.path("pins");
    node.write(
        "r.toml",
        &format!(
            "[node]\nstate = \"state\"\n[listen]\naddresses = [\"127.0.0.1\"]\nport = {}\n[xdp]\nmode \
             = \"off\"\npins = \"{}\"\n",
            node.port,
            shown(&pins)
        ),
    );
    let detach = || node.run(&["detach", "--config", "r.toml"]);
    let nothing = format!("nothing is pinned in {}\n", shown(&pins));
    assert_eq!(detach(), Ran { code: Some(0), out: nothing.clone(), err: String::new() });
    let mut daemon = node.serve();
    let line = format!(
        "the state directory state is locked by process {}: stop that daemon, or give this one a \
         node.state of its own",
        daemon.pid()
    );
    assert_eq!(detach(), refusal(&line));
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    assert_eq!(detach(), Ran { code: Some(0), out: nothing, err: String::new() });
}

#[test]
fn the_log_is_filtered_anew_while_the_daemon_runs() {
    let node = node();
    let daemon = node.serve();
    let log = |filter: &str| node.run(&["log", filter, "--config", "r.toml"]);
    let reload = || node.run(&["zone", "reload", "a.example.", "--config", "r.toml"]);
    let told = || daemon.log().lines().filter(|line| line.contains(" INFO ")).count();
    let done = Ran { code: Some(0), out: String::new(), err: String::new() };
    assert_eq!(log("warn"), done);
    let before = told();
    reload();
    assert_eq!(told(), before, "{}", daemon.log());
    assert_eq!(log("info"), done);
    reload();
    assert!(told() > before, "{}", daemon.log());
    let ran = log("no such = filter");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("is no filter of the log"), "{}", ran.err);
}

#[test]
fn a_second_daemon_names_the_first() {
    let node = node();
    let daemon = node.serve();
    let line = format!(
        "the state directory state is locked by process {}: stop that daemon, or give this one a \
         node.state of its own",
        daemon.pid()
    );
    assert_eq!(node.run(&["serve", "--config", "r.toml"]), refusal(&line));
    assert_eq!(daemon.zone("a.example.")["state"], "serving");
}

#[test]
fn a_killed_daemon_leaves_nothing_in_the_way() {
    let node = node();
    let mut daemon = node.serve();
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    let daemon = node.serve();
    assert_eq!(serial(&daemon.ask(&query(1, "a.example.", RecordType::SOA))), 7);
}

#[test]
fn a_port_in_use_is_told_even_between_daemons_of_one_user() {
    let first = node();
    let _daemon = first.serve();
    let mut second = node();
    second.port = first.port;
    second.configure("");
    let port = first.port;
    assert_eq!(
        second.run(&["serve", "--config", "r.toml"]),
        refusal(&format!(
            "cannot listen on 127.0.0.1:{port} (UDP): the port is in use: stop the other server \
             (`ss -lnp 'sport = :{port}'` names it), or set another listen.port"
        ))
    );
}

#[test]
fn a_tcp_port_in_use_is_told() {
    let node = node();
    let port = node.port;
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(
        node.run(&["serve", "--config", "r.toml"]),
        refusal(&format!(
            "cannot listen on 127.0.0.1:{port} (TCP): the port is in use: stop the other server \
             (`ss -lnp 'sport = :{port}'` names it), or set another listen.port"
        ))
    );
}

#[test]
fn an_address_of_another_machine_is_told() {
    let node = node();
    node.write(
        "r.toml",
        "[node]\nstate = \"state\"\n[listen]\naddresses = [\"192.0.2.53\"]\nport = \
         5353\n[xdp]\nmode = \"off\"\n",
    );
    assert_eq!(
        node.run(&["serve", "--config", "r.toml"]),
        refusal(
            "cannot listen on 192.0.2.53:5353 (UDP): no interface has this address: add it (`ip \
             address add`), or remove it from listen.addresses"
        )
    );
}

#[test]
fn a_missing_interface_is_told_in_every_mode_that_needs_one() {
    for mode in ["native", "tc", "auto"] {
        let node = node();
        let port = node.port;
        node.write(
            "r.toml",
            &format!(
                "[node]\nstate = \"state\"\n[listen]\naddresses = [\"127.0.0.1\"]\nport = \
                 {port}\n[xdp]\nmode = \"{mode}\"\ninterfaces = [\"nope0\"]\n"
            ),
        );
        assert_eq!(
            node.run(&["serve", "--config", "r.toml"]),
            refusal(
                "no interface \"nope0\" on this machine: `ip link` lists them; correct \
                 xdp.interfaces, or set xdp.mode = \"off\""
            )
        );
    }
}

#[test]
fn an_interface_on_the_command_line_takes_the_place_of_the_configured_ones() {
    let node = node();
    let port = node.port;
    node.write(
        "r.toml",
        &format!(
            "[node]\nstate = \"state\"\n[listen]\naddresses = [\"127.0.0.1\"]\nport = {port}\n\
             [xdp]\nmode = \"native\"\ninterfaces = [\"lo\"]\n"
        ),
    );
    assert_eq!(
        node.run(&["serve", "--interface", "nope0", "--config", "r.toml"]),
        refusal(
            "no interface \"nope0\" on this machine: `ip link` lists them; correct \
             xdp.interfaces, or set xdp.mode = \"off\""
        )
    );
}

#[test]
fn a_state_directory_that_cannot_be_made_is_told() {
    let node = node();
    node.write("file", "");
    node.write(
        "r.toml",
        "[node]\nstate = \"file/state\"\n[listen]\naddresses = [\"127.0.0.1\"]\n[xdp]\nmode = \
         \"off\"\n",
    );
    assert_eq!(
        node.run(&["serve", "--config", "r.toml"]),
        refusal(
            "cannot make the state directory file/state: Not a directory (os error 20): make it \
             for this user, or set node.state"
        )
    );
}

#[test]
fn a_telemetry_address_in_use_is_told() {
    let port = free_port();
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let node = Node::new(&format!("[telemetry]\nlisten = \"127.0.0.1:{port}\"\n"));
    assert_eq!(
        node.run(&["serve", "--config", "r.toml"]),
        refusal(&format!(
            "cannot listen on 127.0.0.1:{port} for telemetry: Address already in use (os error \
             98): free the address, or set another telemetry.listen"
        ))
    );
}

#[test]
fn a_broken_configuration_is_told_whole() {
    let node = node();
    node.write("r.toml", "[listen]\naddresses = [\"::\"]\nprot = 1\n");
    let ran = node.run(&["serve", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "r.toml:2:14: addresses in [listen]: \"::\": a wildcard: name each address, since a reply \
         must leave from the address that was asked\nr.toml:3:1: unknown key \"prot\" in \
         [listen]: did you mean \"port\"?\n"
    );
}

#[test]
fn what_was_switched_off_stays_so_over_a_restart() {
    let node = node();
    let xdp = |switch: &[&str]| {
        let arguments = [&["xdp"], switch, &["--config", "r.toml"]].concat();
        node.run(&arguments).code
    };
    let mut daemon = node.serve();
    assert_eq!(xdp(&["off", "--zone", "a.example"]), Some(0));
    assert_eq!(xdp(&["off", "--zone", "nowhere.example"]), Some(1), "there is no such zone");
    assert_eq!(xdp(&["off"]), Some(0));
    let off = |daemon: &Daemon<'_>| daemon.status()["data-plane"]["switched-off"].clone();
    let both = serde_json::json!({ "all": true, "zones": ["a.example."] });
    assert_eq!(off(&daemon), both);
    daemon.signal(libc::SIGKILL);
    daemon.wait();
    drop(daemon);
    let daemon = node.serve();
    assert_eq!(off(&daemon), both);
    assert_eq!(serial(&daemon.ask(&query(1, "a.example.", RecordType::SOA))), 7, "sockets answer");
    assert!(daemon.log().contains("switched off"), "{}", daemon.log());
    assert_eq!(xdp(&["on"]), Some(0));
    assert_eq!(xdp(&["on", "--zone", "A.example."]), Some(0));
    assert_eq!(off(&daemon), serde_json::json!({ "all": false, "zones": [] }));
}
