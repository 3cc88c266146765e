//! One question, asked everywhere at once: of the host's engine (`xdp.mode = "off"`), of the XDP program
//! and of the tc program, over one store. All three must give the same octets.
//!
//! The kernel programs run by `BPF_PROG_TEST_RUN`; no interface is involved. Root and BPF are needed.
#![allow(dead_code, reason = "several programs take this folder and each uses a part of it")]

pub mod packet;

use std::sync::Arc;

use responder::{
    answer::{Answerer, Transport},
    dataplane::{
        DataPlane,
        trial::{HookPoint, Trial},
    },
    store::{Store, StoreOptions},
};
use responder_common::verdict::{Action, Verdict};

use packet::{Headers, Packet};

/// The three ways to ask.
pub struct Everywhere {
    /// The loaded programs.
    pub plane: DataPlane,
    /// What all answer from.
    pub store: Arc<Store>,
    host: Answerer,
}

/// What all three said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The engine's word for it.
    pub verdict: Verdict,
    /// The reply, where there is one.
    pub reply: Option<Vec<u8>>,
}

impl Everywhere {
    /// Loads the programs over an empty store.
    ///
    /// # Errors
    /// When the kernel refuses them; the message has the remedy.
    pub fn load(options: &StoreOptions) -> anyhow::Result<Self> {
        let (plane, store) = DataPlane::load(options)?;
        let host = Answerer::new(Arc::clone(&store));
        Ok(Self { plane, store, host })
    }

    /// Asks over UDP: the host once, each hook over IPv4 and IPv6.
    ///
    /// # Errors
    /// What differs, and how.
    pub fn ask(&mut self, message: &[u8]) -> Result<Answered, String> {
        let mut reply = Vec::new();
        let verdict = self.host.verdict(message, Transport::Udp, &mut reply);
        for headers in [Headers::v4(), Headers::v6()] {
            for hook in [HookPoint::Xdp, HookPoint::Tc] {
                self.compare(hook, &headers, message, verdict, &reply)
                    .map_err(|fault| format!("{hook:?}: {fault}; to {message:02x?}"))?;
            }
        }
        Ok(Answered { verdict, reply: (verdict.action() == Action::Reply).then_some(reply) })
    }

    /// Asks over TCP, which the host alone answers.
    pub fn ask_stream(&mut self, message: &[u8]) -> Answered {
        let mut reply = Vec::new();
        let verdict = self.host.verdict(message, Transport::Tcp, &mut reply);
        Answered { verdict, reply: (verdict.action() == Action::Reply).then_some(reply) }
    }

    /// Gives a frame to one hook.
    pub fn frame(&self, hook: HookPoint, frame: &[u8]) -> Trial {
        self.plane.trial(hook, frame).expect("BPF_PROG_TEST_RUN takes this frame")
    }

    fn compare(
        &self,
        hook: HookPoint,
        headers: &Headers,
        message: &[u8],
        verdict: Verdict,
        reply: &[u8],
    ) -> Result<(), String> {
        let query = headers.frame(message);
        let Trial { action, frame, .. } = self.frame(hook, &query);
        if action != verdict.action() {
            return Err(format!("{action:?}, where the host says {verdict:?}"));
        }
        match action {
            Action::Pass if frame != query => Err("what is passed was changed".into()),
            Action::Pass | Action::Drop => Ok(()),
            Action::Reply => {
                let packet = Packet::read(&frame)?;
                if packet.message != reply {
                    let got = packet.message;
                    return Err(format!("{got:02x?}\nwhere the host says\n{reply:02x?}"));
                }
                packet.check_reply_to(headers)
            }
        }
    }
}
