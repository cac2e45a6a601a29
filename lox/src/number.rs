//! How numbers are shown: as C's `%g` shows a double.

use std::io::{self, Write};

/// How many significant digits are shown.
const PRECISION: i32 = 6;

/// Writes `number` with six significant digits, without trailing zeros, and with an exponent if
/// that is below -4 or above 5.
///
/// Every NaN is `nan`. C shows the sign of a NaN, but which sign an operation gives is a matter of
/// the processor, and a value that is boxed need not keep it.
pub(crate) fn write_number(out: &mut impl Write, number: f64) -> io::Result<()> {
    if number.is_nan() {
        return out.write_all(b"nan");
    }
    if number.is_infinite() {
        return out.write_all(if number > 0.0 { b"inf" } else { b"-inf" });
    }
    // Most numbers in programs are small whole ones.
    if number.abs() < 1e6 && number.fract() == 0.0 {
        if number == 0.0 && number.is_sign_negative() {
            return out.write_all(b"-0");
        }
        return write!(out, "{}", number as i64);
    }
    // Rounding to six digits may carry into the next power of ten, so the exponent that decides is
    // the one after rounding.
    let scientific = format!("{:.*e}", (PRECISION - 1) as usize, number);
    let (mantissa, exponent) =
        scientific.split_once('e').expect("the exponent format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    if (-4..PRECISION).contains(&exponent) {
        let decimals = (PRECISION - 1 - exponent) as usize;
        let plain = format!("{number:.decimals$}");
        out.write_all(without_trailing_zeros(&plain).as_bytes())
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let mantissa = without_trailing_zeros(mantissa);
        write!(out, "{mantissa}e{sign}{:02}", exponent.abs())
    }
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: f64) -> String {
        let mut out = Vec::new();
        write_number(&mut out, number).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_numbers_have_no_point() {
        assert_eq!(shown(0.0), "0");
        assert_eq!(shown(-0.0), "-0");
        assert_eq!(shown(7.0), "7");
        assert_eq!(shown(-123456.0), "-123456");
        assert_eq!(shown(999999.0), "999999");
    }

    #[test]
    fn six_significant_digits_without_trailing_zeros() {
        assert_eq!(shown(0.1 + 0.2), "0.3");
        assert_eq!(shown(1.0 / 3.0), "0.333333");
        assert_eq!(shown(2.0 / 3.0), "0.666667");
        assert_eq!(shown(1234.5678), "1234.57");
        assert_eq!(shown(-1.5), "-1.5");
        assert_eq!(shown(100000.25), "100000");
        assert_eq!(shown(123.456), "123.456");
    }

    #[test]
    fn an_exponent_from_a_million_on_and_below_a_ten_thousandth() {
        assert_eq!(shown(1e6), "1e+06");
        assert_eq!(shown(1234567.0), "1.23457e+06");
        assert_eq!(shown(123456789.0), "1.23457e+08");
        assert_eq!(shown(0.0001), "0.0001");
        assert_eq!(shown(0.00001), "1e-05");
        assert_eq!(shown(0.000012345678), "1.23457e-05");
        assert_eq!(shown(-1e100), "-1e+100");
        assert_eq!(shown(1.5e-300), "1.5e-300");
        assert_eq!(shown(5e-324), "4.94066e-324");
    }

    #[test]
    fn rounding_decides_before_the_exponent_does() {
        assert_eq!(shown(999999.4), "999999");
        assert_eq!(shown(999999.5), "1e+06");
        assert_eq!(shown(0.00009999996), "0.0001");
        assert_eq!(shown(0.0000999999), "9.99999e-05");
        assert_eq!(shown(9.9999999), "10");
    }

    #[test]
    fn numbers_that_are_none() {
        assert_eq!(shown(f64::INFINITY), "inf");
        assert_eq!(shown(f64::NEG_INFINITY), "-inf");
        assert_eq!(shown(f64::NAN), "nan");
        assert_eq!(shown(-f64::NAN), "nan");
    }
}
