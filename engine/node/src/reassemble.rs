//! Egress: joins the two pieces of a packet that was longer than its path carries. Per peer, bounded in number and time. Pure.

use overlayd_wire::Piece;

use crate::marks::Marks;
use crate::{DropReason, Nanos};

/// A piece waits this long for the other one.
const PATIENCE: Nanos = 500_000_000;
/// Pieces that wait at a time; a further one displaces the oldest.
const WAITING_MAX: usize = 64;
/// A piece whose number is farther from that of the newest is of a time before numbers came round.
const NUMBERS_APART: u16 = 16_384;
/// Two pieces are at most one IP packet.
const PACKET_MAX: usize = 65_535;

#[derive(Debug, Default)]
pub(crate) struct Pieces {
    waiting: Vec<Waiting>,
    /// Buffers of former pieces.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Waiting {
    id: u16,
    second: bool,
    since: Nanos,
    marks: Marks,
    bytes: Vec<u8>,
}

/// What a piece led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The whole packet was appended to the output; what both pieces were marked with.
    Whole(Marks),
    Waits,
    Refused(DropReason),
}

impl Pieces {
    /// Takes a piece; a packet that it completes is appended to `out`.
    pub(crate) fn take(
        &mut self,
        now: Nanos,
        piece: Piece<'_>,
        marks: Marks,
        out: &mut Vec<u8>,
    ) -> Joined {
        self.expire(now, piece.id);
        let Some(place) = self.waiting.iter().position(|other| other.id == piece.id) else {
            self.keep(now, piece, marks);
            return Joined::Waits;
        };
        if self.waiting[place].second == piece.second {
            // The other half of the one that waits was lost: this one's is still to come.
            self.spare.push(self.waiting.remove(place).bytes);
            self.keep(now, piece, marks);
            return Joined::Refused(DropReason::PieceMismatch);
        }
        let other = self.waiting.swap_remove(place);
        let fits = other.bytes.len() + piece.bytes.len() <= PACKET_MAX;
        if fits {
            let (first, second) = if piece.second {
                (&*other.bytes, piece.bytes)
            } else {
                (piece.bytes, &*other.bytes)
            };
            out.extend_from_slice(first);
            out.extend_from_slice(second);
        }
        self.spare.push(other.bytes);
        if fits {
            Joined::Whole(marks.and(other.marks))
        } else {
            Joined::Refused(DropReason::PieceMismatch)
        }
    }

    fn keep(&mut self, now: Nanos, piece: Piece<'_>, marks: Marks) {
        if self.waiting.len() == WAITING_MAX {
            let displaced = self.waiting.remove(0);
            self.spare.push(displaced.bytes);
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(piece.bytes);
        self.waiting.push(Waiting {
            id: piece.id,
            second: piece.second,
            since: now,
            marks,
            bytes,
        });
    }

    fn expire(&mut self, now: Nanos, newest: u16) {
        let spare = &mut self.spare;
        self.waiting.retain_mut(|piece| {
            let apart = newest.wrapping_sub(piece.id) as i16;
            let stays = now < piece.since + PATIENCE && apart.unsigned_abs() <= NUMBERS_APART;
            if !stays {
                spare.push(std::mem::take(&mut piece.bytes));
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        pieces: &mut Pieces,
        now: Nanos,
        id: u16,
        second: bool,
        bytes: &[u8],
    ) -> (Joined, Vec<u8>) {
        let mut out = Vec::new();
        let marks = Marks::default();
        let joined = pieces.take(now, Piece { second, id, bytes }, marks, &mut out);
        (joined, out)
    }

    #[test]
    fn two_pieces_join_in_either_order() {
        let mut pieces = Pieces::default();
        assert_eq!(take(&mut pieces, 0, 1, false, b"ab").0, Joined::Waits);
        assert_eq!(take(&mut pieces, 0, 2, true, b"yz").0, Joined::Waits);
        assert_eq!(
            take(&mut pieces, 1, 1, true, b"cd"),
            (Joined::Whole(Marks::default()), b"abcd".to_vec())
        );
        assert_eq!(
            take(&mut pieces, 1, 2, false, b"wx"),
            (Joined::Whole(Marks::default()), b"wxyz".to_vec())
        );
        assert!(pieces.waiting.is_empty());
    }

    #[test]
    fn a_piece_joins_neither_its_copy_nor_one_of_long_ago() {
        let mut pieces = Pieces::default();
        take(&mut pieces, 0, 1, false, b"ab");
        let refused = Joined::Refused(DropReason::PieceMismatch);
        assert_eq!(take(&mut pieces, 1, 1, false, b"ab").0, refused);
        assert_eq!(
            take(&mut pieces, PATIENCE + 1, 1, true, b"cd").0,
            Joined::Waits
        );
    }

    #[test]
    fn a_piece_whose_other_half_was_lost_spoils_none_of_the_same_number_later() {
        let mut pieces = Pieces::default();
        take(&mut pieces, 0, 7, false, b"old");
        let joined = Joined::Whole(Marks::default());
        for id in 8..=u16::MAX {
            take(&mut pieces, 1, id, false, b"ab");
            assert_eq!(take(&mut pieces, 1, id, true, b"cd").0, joined);
        }
        assert_eq!(take(&mut pieces, 2, 7, true, b"w").0, Joined::Waits);
        let whole = take(&mut pieces, 2, 7, false, b"ne");
        assert_eq!(whole, (joined, b"new".to_vec()));
        // Too soon to tell by the number: the newer one counts.
        take(&mut pieces, 3, 9, false, b"old");
        take(&mut pieces, 3, 9, false, b"ne");
        assert_eq!(take(&mut pieces, 3, 9, true, b"w").1, b"new");
    }

    #[test]
    fn memory_is_bounded_whatever_arrives() {
        let mut pieces = Pieces::default();
        for id in 0..1000 {
            take(&mut pieces, 0, id, false, b"ab");
        }
        assert_eq!(pieces.waiting.len(), WAITING_MAX);
        assert!(pieces.spare.len() <= 1);
    }
}
