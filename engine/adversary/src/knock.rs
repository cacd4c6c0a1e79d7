//! The strangers at the doors of the nodes, and on their wires. Pure.

use crate::MS;
use crate::coverage::Group;
use crate::stranger::DOORS;
use crate::world::World;

impl World {
    /// One of them knocks somewhere.
    pub(crate) fn attack_as_stranger(&mut self) {
        let place = self.rng.below(self.strangers.len() as u64) as usize;
        let door = DOORS[self.rng.below(DOORS.len() as u64) as usize];
        let stranger = &mut self.strangers[place];
        let (what, address, copies) = (stranger.what, stranger.address, stranger.copies);
        let Some(bytes) = stranger.knock(self.now, door) else {
            return;
        };
        for _ in 0..copies {
            self.count.knocks += 1;
            self.inject(
                (Group::Stranger, what),
                usize::from(door) - 1,
                (0, address),
                &mut [bytes.clone()],
            );
        }
    }

    /// Sends what a stranger has to say.
    pub(crate) fn tend_stranger(&mut self, place: usize) {
        let stranger = &mut self.strangers[place];
        let address = stranger.address;
        for (remote, bytes) in stranger.replies() {
            self.launch(MS, address, remote, 0, bytes);
        }
    }
}
