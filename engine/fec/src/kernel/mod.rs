//! The one operation that costs time: `dst += coefficient · src`, byte by byte, in the fastest way this CPU has.
//!
//! A [`Kernel`] is chosen once, when an encoder or decoder is made, and is a plain value from then on. Another
//! instruction set is one more variant, one more file and one more line in each of `detect` and `mul_add`. Pure.

#[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
mod avx2;
mod scalar;

/// A way to multiply and add. A value other than `Scalar` is proof that this CPU can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Scalar,
    #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
    Avx2,
}

impl Kernel {
    /// Plain Rust; runs everywhere and is the yardstick of the others.
    pub const SCALAR: Self = Self(Instructions::Scalar);

    /// The fastest kernel of this CPU.
    pub fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self(Instructions::Avx2);
        }
        Self::SCALAR
    }

    /// `scalar`, `avx2`: for logs and benchmarks.
    pub fn name(self) -> &'static str {
        match self.0 {
            Instructions::Scalar => "scalar",
            #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
            Instructions::Avx2 => "avx2",
        }
    }

    /// `dst[i] += coefficient · src[i]` for as many bytes as both have.
    #[inline]
    pub fn mul_add(self, dst: &mut [u8], src: &[u8], coefficient: u8) {
        if coefficient == 0 {
            return;
        }
        match self.0 {
            Instructions::Scalar => scalar::mul_add(dst, src, coefficient),
            #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
            Instructions::Avx2 => avx2::mul_add_detected(dst, src, coefficient),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::multiply;

    fn bytes(count: usize, salt: usize) -> Vec<u8> {
        (0..count)
            .map(|i| (i * i + 31 * i + salt * 7) as u8)
            .collect()
    }

    /// Every coefficient, every length around the width of a vector, every alignment within one.
    #[test]
    fn kernels_agree_with_the_definition() {
        for kernel in [Kernel::SCALAR, Kernel::detect()] {
            for coefficient in 0..=255 {
                for length in [0, 1, 15, 16, 31, 32, 33, 63, 64, 65, 95, 127, 200, 1402] {
                    let offset = usize::from(coefficient) % 33;
                    let src = bytes(length + offset, 1);
                    let mut dst = bytes(length + offset, 2);
                    let expected: Vec<u8> = src[offset..]
                        .iter()
                        .zip(&dst[offset..])
                        .map(|(&s, &d)| d ^ multiply(coefficient, s))
                        .collect();
                    kernel.mul_add(&mut dst[offset..], &src[offset..], coefficient);
                    assert_eq!(
                        dst[offset..],
                        expected,
                        "{} × {coefficient}, {length} bytes",
                        kernel.name()
                    );
                    assert_eq!(dst[..offset], bytes(length + offset, 2)[..offset]);
                }
            }
        }
    }

    #[test]
    fn the_shorter_operand_sets_the_length() {
        for kernel in [Kernel::SCALAR, Kernel::detect()] {
            for (dst_length, src_length) in [(100, 70), (70, 100), (0, 50), (50, 0)] {
                let (mut dst, src) = (bytes(dst_length, 3), bytes(src_length, 4));
                kernel.mul_add(&mut dst, &src, 0x53);
                let common = dst_length.min(src_length);
                assert_eq!(dst[common..], bytes(dst_length, 3)[common..]);
                for i in 0..common {
                    assert_eq!(dst[i], bytes(dst_length, 3)[i] ^ multiply(0x53, src[i]));
                }
            }
        }
    }
}
