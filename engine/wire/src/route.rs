//! The route of a routed frame (section 3): the segment list, checked for form. Whether this node may relay it is decided in `engine/node`.

use crate::WireError;
use crate::reader::Reader;

/// Relays and the egress.
pub const SEGMENTS_MAX: usize = 5;
const FIXED_LEN: usize = 4;
const CE: u8 = 0b10;
const RESERVED: u8 = 0b01;

/// View of a route at the front of a slice. No node stands twice in it, the source neither.
#[derive(Clone, Copy, Debug)]
pub struct RouteView<'a> {
    first: u8,
    generation: u8,
    source: u16,
    segments: &'a [[u8; 2]],
}

impl<'a> RouteView<'a> {
    /// The route, and the end-to-end datagram behind it (at least one byte).
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), WireError> {
        let mut reader = Reader::new(bytes);
        let [first, generation] = *reader.array()?;
        let source = reader.u16()?;
        let (count, left) = (usize::from(first >> 5), usize::from(first >> 2 & 0b111));
        if first & RESERVED != 0 {
            return Err(WireError::Reserved);
        }
        if count == 0 || count > SEGMENTS_MAX || left >= count {
            return Err(WireError::BadRoute);
        }
        let (segments, _) = reader.take(2 * count)?.as_chunks();
        let view = Self {
            first,
            generation,
            source,
            segments,
        };
        if view.repeats() {
            return Err(WireError::RepeatedNode);
        }
        Ok((view, reader.some_rest()?))
    }

    /// Bytes of the route itself.
    #[inline]
    pub fn wire_len(&self) -> usize {
        FIXED_LEN + 2 * self.segments.len()
    }

    /// 0: whoever holds the frame is the egress.
    #[inline]
    pub fn left(&self) -> u8 {
        self.first >> 2 & 0b111
    }

    /// Congestion was experienced on the way.
    #[inline]
    pub fn ce(&self) -> bool {
        self.first & CE != 0
    }

    pub fn generation(&self) -> u8 {
        self.generation
    }

    /// The ingress.
    #[inline]
    pub fn source(&self) -> u16 {
        self.source
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = u16> + ExactSizeIterator + use<'a> {
        self.segments
            .iter()
            .map(|segment| u16::from_be_bytes(*segment))
    }

    /// The node that is to hold the frame now.
    #[inline]
    pub fn here(&self) -> u16 {
        self.at_left(self.left())
    }

    /// The node after that; `None` at the egress.
    #[inline]
    pub fn next(&self) -> Option<u16> {
        self.left().checked_sub(1).map(|left| self.at_left(left))
    }

    #[inline]
    pub fn egress(&self) -> u16 {
        self.at_left(0)
    }

    pub fn repr(&self) -> RouteRepr {
        let mut segments = [0; SEGMENTS_MAX];
        for (slot, segment) in segments.iter_mut().zip(self.segments()) {
            *slot = segment;
        }
        RouteRepr {
            count: self.first >> 5,
            left: self.left(),
            ce: self.ce(),
            generation: self.generation,
            source: self.source,
            segments,
        }
    }

    /// `left` is below the count: checked by `parse`.
    #[inline]
    fn at_left(&self, left: u8) -> u16 {
        let place = self.segments.len().wrapping_sub(1 + usize::from(left));
        self.segments
            .get(place)
            .map_or(0, |segment| u16::from_be_bytes(*segment))
    }

    fn repeats(&self) -> bool {
        let source = self.source.to_be_bytes();
        (0..self.segments.len())
            .any(|i| self.segments[i] == source || self.segments[..i].contains(&self.segments[i]))
    }
}

/// What a relay does to a route that it has checked: one segment less. `route` starts with the route's first byte. False: at the egress already.
#[inline]
pub fn advance(route: &mut [u8]) -> bool {
    match route.first_mut() {
        Some(first) if *first >> 2 & 0b111 != 0 => {
            *first -= 1 << 2;
            true
        }
        _ => false,
    }
}

/// Marks congestion. `route` starts with the route's first byte.
#[inline]
pub fn set_ce(route: &mut [u8]) {
    if let Some(first) = route.first_mut() {
        *first |= CE;
    }
}

/// The meaning of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRepr {
    /// Segments in use, 1–5.
    pub count: u8,
    pub left: u8,
    pub ce: bool,
    /// Low 8 bits of the controller's route generation.
    pub generation: u8,
    pub source: u16,
    /// Relays in order, then the egress; zero behind `count`.
    pub segments: [u16; SEGMENTS_MAX],
}

impl RouteRepr {
    /// As an ingress sends it. `path`: the nodes after the source, the egress last; `None` unless 1 to 5.
    pub fn new(source: u16, path: &[u16], generation: u8) -> Option<Self> {
        let mut segments = [0; SEGMENTS_MAX];
        segments.get_mut(..path.len())?.copy_from_slice(path);
        let count = path.len() as u8;
        let left = count.checked_sub(1)?;
        Some(Self {
            count,
            left,
            ce: false,
            generation,
            source,
            segments,
        })
    }

    /// The way back, as the egress sends it.
    pub fn reversed(&self) -> Option<Self> {
        let mut path = [0; SEGMENTS_MAX];
        let (egress, relays) = self.segments.get(..usize::from(self.count))?.split_last()?;
        for (slot, node) in path
            .iter_mut()
            .zip(relays.iter().rev().chain([&self.source]))
        {
            *slot = *node;
        }
        Self::new(
            *egress,
            path.get(..usize::from(self.count))?,
            self.generation,
        )
    }

    pub fn wire_len(&self) -> usize {
        FIXED_LEN + 2 * usize::from(self.count)
    }

    pub fn emit(&self, out: &mut Vec<u8>) {
        let ce = if self.ce { CE } else { 0 };
        out.push(self.count << 5 | (self.left & 0b111) << 2 | ce);
        out.push(self.generation);
        out.extend_from_slice(&self.source.to_be_bytes());
        for segment in self.segments.iter().take(usize::from(self.count)) {
            out.extend_from_slice(&segment.to_be_bytes());
        }
    }
}
