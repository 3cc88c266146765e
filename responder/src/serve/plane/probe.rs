//! The kernel's part, looked at from here: whether the programs hang there and answer.

use std::net::SocketAddr;

use super::Plane;
use crate::{
    dataplane::{
        Attachment, Mode,
        helper::{Outcome, Tried},
    },
    service::{Look, Question},
};

impl Plane {
    /// Has the programs answer a question to an address of the service, and looks whether they still hang
    /// where they were attached. Without programs there is nothing to find.
    pub fn probe(&self, server: SocketAddr, question: &Question) -> Look {
        let attached: Vec<Attachment> = {
            let state = self.state();
            let attached = state.attachments.iter().filter(|one| one.mode != Mode::Off);
            attached.filter(|_| state.programs.is_some()).cloned().collect()
        };
        let mut look = Look::default();
        if attached.is_empty() {
            return look;
        }
        let names: Vec<String> = attached.iter().map(|one| one.interface.clone()).collect();
        let Tried { found, outcome } = match self.hands.try_out(attached, question.frame(server)) {
            Ok(tried) => tried,
            Err(error) => {
                look.notes.push(format!("the kernel's programs cannot be tried: {error:#}"));
                return look;
            }
        };
        if !found.iter().any(|found| found.is_up) {
            look.faults.push(format!("no interface is up: {}", names.join(", ")));
        }
        look.faults.extend(found.into_iter().filter_map(|found| found.fault));
        match outcome {
            Outcome::Answered(frame) => {
                if let Err(wrong) = question.judge_frame(&frame) {
                    look.faults.push(format!("{server} by the kernel's program: {wrong}"));
                }
            }
            Outcome::Dropped => {
                look.faults.push(format!("{server}: the kernel's program drops the query"));
            }
            Outcome::Passed => {
                look.notes.push(format!("{server}: the kernel leaves queries to the sockets"));
            }
            Outcome::Failed(error) => {
                look.notes.push(format!("the kernel's programs cannot be tried: {error}"));
            }
        }
        look
    }
}
