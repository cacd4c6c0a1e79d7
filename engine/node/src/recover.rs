//! Receiving over a hop: first copies, gaps, feedback both ways, frames restored from repair symbols. Pure.

use overlayd_wire::{Feedback, Protected, Repair, Tail};

use crate::link::Link;
use crate::origin::Arrival;
use crate::protect::repair_frame;
use crate::repair::{Again, Extra, Policy, Receipt};
use crate::schedule::Exit;
use crate::session::Scope;
use crate::{DropReason, Nanos, Node};

impl Node {
    /// Takes note of a protected frame; an error unless it is the first copy.
    pub(crate) fn recover(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        header: Protected,
        frame: &[u8],
    ) -> Result<(), DropReason> {
        let link = self.links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        let recoverer = link.recoverer(header.class, Policy::among(&self.policies, header.class));
        match recoverer.receive(now, header.seq) {
            Receipt::First(seq, waited) => {
                recoverer.learn(seq, frame);
                let patience = self.peers[arrival.peer]
                    .patience
                    .get_mut(usize::from(header.class));
                if let (Some(waited), Some(patience)) = (waited, patience) {
                    patience.filled(waited);
                }
                self.touch(arrival.link);
                Ok(())
            }
            Receipt::Duplicate => Err(DropReason::DuplicateFrame),
            Receipt::TooOld => Err(DropReason::StaleFrame),
        }
    }

    /// Takes a repair symbol; frames that it restores go onward.
    pub(crate) fn restore(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        repair: &Repair<'_>,
    ) -> Result<(), DropReason> {
        let link = self.links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        let recoverer = link.recoverer(repair.class, Policy::among(&self.policies, repair.class));
        if !recoverer.repair(now, repair) {
            return Ok(());
        }
        let mut restored = std::mem::take(&mut self.restored);
        restored.clear();
        recoverer.recover(now, |seq, waited, symbol| {
            let budget = repair.budget.less(waited);
            if let Ok(header) = Protected::of_symbol(symbol, seq as u32, budget) {
                restored.push(header, symbol);
            }
        });
        let arrival = &Arrival {
            frame_at: None,
            ..*arrival
        };
        for (header, frame) in restored.frames() {
            if let Err(reason) = self.onward(now, arrival, header, frame) {
                self.tally.drop(reason);
            }
        }
        self.restored = restored;
        self.touch(arrival.link);
        Ok(())
    }

    /// The peer tells what it has of our frames: send again what it misses.
    pub(crate) fn acknowledge(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        feedback: &Feedback<'_>,
    ) -> Result<(), DropReason> {
        let Self {
            links,
            sessions,
            output,
            tally,
            pace,
            ..
        } = self;
        let link = links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        let outlook = link.outlook();
        let Link {
            exit, protectors, ..
        } = link;
        let Some(protector) = protectors[usize::from(feedback.class)].as_deref_mut() else {
            return Ok(());
        };
        let to = (arrival.link, feedback.class);
        let proof = protector.feedback(now, feedback, &outlook, |again| {
            let start = Exit::begin(&mut output.bytes);
            if write_again(&again, &mut output.bytes).is_none() {
                output.bytes.truncate(start);
                return 0;
            }
            let wait = exit.pacer.wait_again(feedback.class);
            match exit.send_again(now, sessions, to, output, start) {
                Ok(pushed_out) => tally.drop_many(DropReason::QueueFull, pushed_out),
                Err(reason) => tally.drop(reason),
            }
            wait
        });
        if let Some(sent) = proof {
            link.proved(now, sent, pace.steps());
        }
        self.touch(arrival.link);
        Ok(())
    }

    pub(crate) fn answer_tail(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        tail: Tail,
    ) -> Result<(), DropReason> {
        let link = self.links[arrival.link]
            .as_deref_mut()
            .ok_or(DropReason::NoSession)?;
        link.recoverer(tail.class, Policy::among(&self.policies, tail.class))
            .tail(now, tail);
        self.send_feedback(now, arrival.link)
    }

    /// Sends what is due of symbols beyond the frames that were sent again.
    pub(crate) fn send_extras(&mut self, now: Nanos, place: usize) -> Result<(), DropReason> {
        let Self {
            links,
            sessions,
            output,
            scratch,
            tally,
            ..
        } = self;
        let link = links[place].as_deref_mut().ok_or(DropReason::NoSession)?;
        let classes = link.classes();
        let Link {
            exit, protectors, ..
        } = link;
        for class in classes {
            let Some(protector) = protectors[usize::from(class)].as_deref_mut() else {
                continue;
            };
            while let Some(extra) = protector.extra(now, scratch) {
                let start = Exit::begin(&mut output.bytes);
                match extra {
                    Extra::Copy(again) => {
                        if write_again(&again, &mut output.bytes).is_none() {
                            output.bytes.truncate(start);
                            continue;
                        }
                    }
                    Extra::Coded(header, budget) => {
                        repair_frame(class, header, budget, scratch).emit(&mut output.bytes);
                    }
                }
                let pushed_out = exit.send_again(now, sessions, (place, class), output, start)?;
                tally.drop_many(DropReason::QueueFull, pushed_out);
            }
        }
        Ok(())
    }

    /// Sends the feedback and tail frames of a link that are due.
    pub(crate) fn send_feedback(&mut self, now: Nanos, place: usize) -> Result<(), DropReason> {
        let Self {
            links,
            sessions,
            output,
            tally,
            ..
        } = self;
        let link = links[place].as_deref_mut().ok_or(DropReason::NoSession)?;
        let (rtt, classes) = (link.rtt(), link.classes());
        let Link {
            exit,
            protectors,
            recoverers,
            ..
        } = link;
        let scope = Scope::Hop(place as u16);
        let mut bitmap = [0; Feedback::BITMAP_MAX];
        for class in classes {
            if let Some(recoverer) = recoverers[usize::from(class)].as_deref_mut()
                && let Some(feedback) = recoverer.feedback(now, class, rtt, &mut bitmap)
            {
                let start = Exit::begin(&mut output.bytes);
                feedback.emit(&mut output.bytes);
                exit.finish(now, sessions, scope, output, (start, 0))?;
            }
            if let Some(protector) = protectors[usize::from(class)].as_deref_mut()
                && let Some(next) = protector.tail(now, rtt)
            {
                let start = Exit::begin(&mut output.bytes);
                output
                    .bytes
                    .extend_from_slice(&Tail { class, next }.to_bytes());
                // Behind the frames that it asks about: what still waits here is not missing there.
                let pushed_out = exit.send_again(now, sessions, (place, class), output, start)?;
                tally.drop_many(DropReason::QueueFull, pushed_out);
            }
        }
        self.touch(place);
        Ok(())
    }
}

/// Writes a frame that leaves once more. `None`: what was kept is none.
fn write_again(again: &Again<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    let header = Protected::of_symbol(again.symbol, again.seq, again.budget).ok()?;
    bytes.extend_from_slice(&header.to_bytes());
    bytes.extend_from_slice(again.symbol.get(1..)?);
    Some(())
}
