//! Frames that the code made known, on their way from the link to whoever takes them. Pure.

use overlayd_wire::Protected;

/// Frames that repair symbols made known, until they have gone onward. Reused.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    bytes: Vec<u8>,
    /// Header and start in `bytes`.
    frames: Vec<(Protected, usize)>,
}

impl Restored {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }

    /// Takes the frame whose source symbol this is.
    pub(crate) fn push(&mut self, header: Protected, symbol: &[u8]) {
        self.frames.push((header, self.bytes.len()));
        self.bytes.extend_from_slice(&header.to_bytes());
        self.bytes.extend_from_slice(&symbol[1..]);
    }

    /// Header and bytes of each, in the order in which they were taken.
    pub(crate) fn frames(&mut self) -> impl Iterator<Item = (Protected, &mut [u8])> {
        let mut rest = self.bytes.as_mut_slice();
        let ends = self.frames.iter().skip(1).map(|frame| frame.1);
        let lengths = ends.chain([rest.len()]).zip(&self.frames);
        lengths.map(move |(end, (header, start))| {
            let (frame, behind) = std::mem::take(&mut rest).split_at_mut(end - start);
            rest = behind;
            (*header, frame)
        })
    }
}
