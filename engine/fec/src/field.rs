//! GF(2^8) modulo 0x11d with generator 2, as tables built at compile time.
//!
//! The readable definition is `fec/field.py`. Used by the matrix, the kernels and the linear system. Pure.

const POLYNOMIAL: u16 = 0x11d;
const GROUP_ORDER: usize = 255;

/// Powers of the generator, twice over, so that a sum of two logarithms needs no reduction.
pub(crate) const EXP: [u8; 2 * GROUP_ORDER] = powers();

const LOG: [u8; 256] = logarithms();

/// What a shuffle instruction needs to multiply by a constant: the products of the constant with every low half
/// of a byte and with every high half. A product is the sum of the two.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Halves {
    pub(crate) low: [u8; 16],
    pub(crate) high: [u8; 16],
}

/// `HALVES[c]` multiplies by `c`. 8 KiB.
pub(crate) static HALVES: [Halves; 256] = halves();

pub(crate) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[LOG[a as usize] as usize + LOG[b as usize] as usize]
}

/// The multiplicative inverse. Zero has none and is answered with zero; no caller divides by zero.
pub(crate) const fn inverse(a: u8) -> u8 {
    if a == 0 {
        return 0;
    }
    EXP[GROUP_ORDER - LOG[a as usize] as usize]
}

const fn powers() -> [u8; 2 * GROUP_ORDER] {
    let mut table = [0; 2 * GROUP_ORDER];
    let mut element: u16 = 1;
    let mut power = 0;
    while power < 2 * GROUP_ORDER {
        table[power] = element as u8;
        element <<= 1;
        if element & 0x100 != 0 {
            element ^= POLYNOMIAL;
        }
        power += 1;
    }
    table
}

const fn logarithms() -> [u8; 256] {
    let mut table = [0; 256];
    let mut power = 0;
    while power < GROUP_ORDER {
        table[EXP[power] as usize] = power as u8;
        power += 1;
    }
    table
}

const fn halves() -> [Halves; 256] {
    let mut table = [Halves {
        low: [0; 16],
        high: [0; 16],
    }; 256];
    let mut constant = 0;
    while constant < 256 {
        let mut half = 0;
        while half < 16 {
            table[constant].low[half] = multiply(constant as u8, half as u8);
            table[constant].high[half] = multiply(constant as u8, (half as u8) << 4);
            half += 1;
        }
        constant += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication from its definition, bit by bit.
    fn by_shift_and_add(a: u8, b: u8) -> u8 {
        let mut sum = 0u16;
        for bit in (0..8).rev() {
            sum <<= 1;
            if sum & 0x100 != 0 {
                sum ^= POLYNOMIAL;
            }
            if b >> bit & 1 == 1 {
                sum ^= u16::from(a);
            }
        }
        sum as u8
    }

    #[test]
    fn every_product_agrees_with_the_definition() {
        for a in 0..=255 {
            for b in 0..=255u8 {
                let halves = &HALVES[usize::from(a)];
                let by_halves = halves.low[usize::from(b & 15)] ^ halves.high[usize::from(b >> 4)];
                assert_eq!(multiply(a, b), by_shift_and_add(a, b));
                assert_eq!(by_halves, by_shift_and_add(a, b));
            }
        }
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a)), 1);
        }
        assert_eq!(inverse(0), 0);
    }
}
