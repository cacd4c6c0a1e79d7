//! What kernels add up, and how many of it at once. Pure.

/// Symbols are stored and summed up in pieces of this size, zeros behind the last byte: no kernel has a rest to treat apart.
pub(crate) type Block = [u8; 64];

/// Sums that are made in one reading of their terms: with tables and products they fill 16 vector registers.
pub(crate) const FUSED: usize = 4;

/// Terms that a kernel is given at once.
pub(super) const BATCH: usize = 32;

/// One summand of R sums, each of which has its own coefficient for it.
#[derive(Clone, Copy)]
pub(crate) struct Term<'a, const R: usize> {
    pub(crate) blocks: &'a [Block],
    pub(crate) coefficients: [u8; R],
}

impl<const R: usize> Term<'_, R> {
    pub(super) const NONE: Self = Self {
        blocks: &[],
        coefficients: [0; R],
    };
}

/// Blocks that so many bytes take.
pub(crate) const fn blocks_for(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<Block>())
}
