//! The operations that cost time, in the fastest way this CPU has: `sum += coefficient · term`, byte by byte.
//!
//! Symbols are made of [`Block`]s and summed up [`FUSED`] sums at a time: a block of each sum stays in registers while that block of all terms
//! is read, once for all of the sums. Single strings of bytes, the coefficients of the linear system, go through [`Kernel::mul_add`].
//!
//! A [`Kernel`] is chosen once, when an encoder or decoder is made, and is a plain value from then on. Another
//! instruction set is one more variant, one more file and one more line in each of `available`, `mul_add` and `add_terms`. Pure.

#[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni;
#[cfg(all(target_arch = "aarch64", feature = "shuffle"))]
mod neon;
mod scalar;
mod terms;

pub(crate) use terms::{Block, FUSED, Term, blocks_for};

/// A way to multiply and add. A value other than `Scalar` is proof that this CPU can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Scalar,
    #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Gfni256,
    #[cfg(target_arch = "x86_64")]
    Gfni512,
    #[cfg(all(target_arch = "aarch64", feature = "shuffle"))]
    Neon,
}

impl Kernel {
    /// Plain Rust; runs everywhere and is the yardstick of the others.
    pub const SCALAR: Self = Self(Instructions::Scalar);

    /// The fastest kernel of this CPU.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::SCALAR)
    }

    /// All kernels that this CPU can run, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let kernels = [
            Some(Instructions::Scalar),
            #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
            std::arch::is_x86_feature_detected!("avx2").then_some(Instructions::Avx2),
            #[cfg(target_arch = "x86_64")]
            gfni::runs_256().then_some(Instructions::Gfni256),
            #[cfg(target_arch = "x86_64")]
            gfni::runs_512().then_some(Instructions::Gfni512),
            #[cfg(all(target_arch = "aarch64", feature = "shuffle"))]
            std::arch::is_aarch64_feature_detected!("neon").then_some(Instructions::Neon),
        ];
        kernels.into_iter().flatten().map(Self)
    }

    /// `scalar`, `avx2`, `gfni-256`, `gfni-512`, `neon`: for logs and benchmarks.
    pub fn name(self) -> &'static str {
        match self.0 {
            Instructions::Scalar => "scalar",
            #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
            Instructions::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Gfni256 => "gfni-256",
            #[cfg(target_arch = "x86_64")]
            Instructions::Gfni512 => "gfni-512",
            #[cfg(all(target_arch = "aarch64", feature = "shuffle"))]
            Instructions::Neon => "neon",
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
            #[cfg(target_arch = "x86_64")]
            Instructions::Gfni256 | Instructions::Gfni512 => {
                gfni::mul_add_detected(dst, src, coefficient);
            }
            #[cfg(all(target_arch = "aarch64", feature = "shuffle"))]
            Instructions::Neon => neon::mul_add_detected(dst, src, coefficient),
        }
    }

    /// `sums[row] = Σ coefficients[row] · blocks` over the terms, for as many blocks as the sums have: a term may be shorter or longer.
    pub(crate) fn sum_up<'a, const R: usize>(
        self,
        sums: &mut [&mut [Block]; R],
        terms: impl Iterator<Item = Term<'a, R>>,
    ) {
        let mut batch = [Term::NONE; terms::BATCH];
        let (mut count, mut so_far) = (0, SoFar::Nothing);
        for term in terms {
            if count == batch.len() {
                self.add_terms(sums, so_far, &batch);
                (count, so_far) = (0, SoFar::Sums);
            }
            batch[count] = term;
            count += 1;
        }
        self.add_terms(sums, so_far, &batch[..count]);
    }

    fn add_terms<const R: usize>(
        self,
        sums: &mut [&mut [Block]; R],
        so_far: SoFar,
        terms: &[Term<'_, R>],
    ) {
        match self.0 {
            Instructions::Scalar => scalar::add_terms(sums, so_far, terms),
            #[cfg(all(target_arch = "x86_64", feature = "shuffle"))]
            Instructions::Avx2 => avx2::add_terms_detected(sums, so_far, terms),
            #[cfg(target_arch = "x86_64")]
            Instructions::Gfni256 => gfni::add_terms_256_detected(sums, so_far, terms),
            #[cfg(target_arch = "x86_64")]
            Instructions::Gfni512 => gfni::add_terms_512_detected(sums, so_far, terms),
            #[cfg(all(target_arch = "aarch64", feature = "shuffle"))]
            Instructions::Neon => neon::add_terms_detected(sums, so_far, terms),
        }
    }
}

/// What the sums hold that a kernel is to add to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SoFar {
    /// Anything: it is written over.
    Nothing,
    Sums,
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
        for kernel in Kernel::available() {
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
        for kernel in Kernel::available() {
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

    #[test]
    fn fused_sums_agree_with_the_definition() {
        for kernel in Kernel::available() {
            fused::<1>(kernel);
            fused::<2>(kernel);
            fused::<4>(kernel);
        }
    }

    /// Every coefficient in every row; terms as long as the sums, shorter, longer and empty.
    fn fused<const R: usize>(kernel: Kernel) {
        let strings: Vec<Vec<u8>> = (0..256)
            .map(|term| bytes(64 * (term % 6), term + 11))
            .collect();
        let terms: Vec<Term<'_, R>> = (0..256usize)
            .map(|term| Term {
                blocks: strings[term].as_chunks().0,
                coefficients: core::array::from_fn(|row| (term * 7 + row * 85) as u8),
            })
            .collect();
        let mut sums: [Vec<u8>; R] = core::array::from_fn(|row| bytes(4 * 64, row));
        kernel.sum_up(
            &mut sums.each_mut().map(|sum| sum.as_chunks_mut().0),
            terms.iter().copied(),
        );
        for (row, sum) in sums.iter().enumerate() {
            for (at, byte) in sum.iter().enumerate() {
                let product = |term: &Term<'_, R>| {
                    let byte = term.blocks.as_flattened().get(at).copied();
                    multiply(term.coefficients[row], byte.unwrap_or_default())
                };
                let expected = terms.iter().map(product).fold(0, |sum, p| sum ^ p);
                assert_eq!(*byte, expected, "{}, {R} rows", kernel.name());
            }
        }
    }
}
