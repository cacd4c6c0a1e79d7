//! Takes big-endian fields off the front of a slice; the one place where lengths are checked.

use crate::WireError;

#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| *byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(*self.array()?))
    }

    #[inline]
    pub(crate) fn u24(&mut self) -> Result<u32, WireError> {
        let [a, b, c] = *self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(*self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(*self.array()?))
    }

    /// Bytes that the page says are zero.
    pub(crate) fn zero<const N: usize>(&mut self) -> Result<(), WireError> {
        if *self.array::<N>()? == [0; N] {
            Ok(())
        } else {
            Err(WireError::Reserved)
        }
    }

    /// The first `len` bytes of what is left.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// What is left, where something has to be.
    #[inline]
    pub(crate) fn some_rest(self) -> Result<&'a [u8], WireError> {
        if self.0.is_empty() {
            Err(WireError::Truncated)
        } else {
            Ok(self.0)
        }
    }

    /// Nothing may be left.
    #[inline]
    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(WireError::BadLength)
        }
    }
}

/// The low 24 bits of a number.
pub(crate) const fn be24(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}
