//! Numbers in bytes: typed reads and writes with a byte order.

/// Which byte of a number comes first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ByteOrder {
    /// As the processor has it.
    #[default]
    Native,
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
    Big,
}

mod sealed {
    pub trait Sealed {}
}

/// A number that bytes can be read as and written from: integers and floats.
pub trait Scalar: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Its size in bytes.
    const BYTES: usize;

    /// Reads it from the first [`BYTES`](Scalar::BYTES) of `bytes`; panics if there are not as many.
    #[doc(hidden)]
    fn read(bytes: &[u8], order: ByteOrder) -> Self;

    /// Writes it to the first [`BYTES`](Scalar::BYTES) of `bytes`; panics if there are not as many.
    #[doc(hidden)]
    fn write(self, bytes: &mut [u8], order: ByteOrder);
}

macro_rules! scalars {
    ($($number:ty),*) => { $(
        impl sealed::Sealed for $number {}
        impl Scalar for $number {
            const BYTES: usize = size_of::<$number>();
            #[inline]
            fn read(bytes: &[u8], order: ByteOrder) -> Self {
                let bytes = bytes[..Self::BYTES].try_into().expect("as many as the number has");
                match order {
                    ByteOrder::Native => <$number>::from_ne_bytes(bytes),
                    ByteOrder::Little => <$number>::from_le_bytes(bytes),
                    ByteOrder::Big => <$number>::from_be_bytes(bytes),
                }
            }
            #[inline]
            fn write(self, bytes: &mut [u8], order: ByteOrder) {
                bytes[..Self::BYTES].copy_from_slice(&match order {
                    ByteOrder::Native => self.to_ne_bytes(),
                    ByteOrder::Little => self.to_le_bytes(),
                    ByteOrder::Big => self.to_be_bytes(),
                });
            }
        }
    )* };
}

scalars!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_bytes_in_the_order_that_is_asked_for() {
        let mut bytes = [0; 5];
        0x0102_0304_u32.write(&mut bytes, ByteOrder::Big);
        assert_eq!(bytes, [1, 2, 3, 4, 0]);
        0x0102_0304_u32.write(&mut bytes[1..], ByteOrder::Little);
        assert_eq!(bytes, [1, 4, 3, 2, 1]);
        assert_eq!(u16::read(&bytes, ByteOrder::Big), 0x0104);
        assert_eq!(i8::read(&[0xff], ByteOrder::Little), -1);
        (-2.5f64).write(&mut [0; 8], ByteOrder::Native);
        let mut native = [0; 8];
        (-2.5f64).write(&mut native, ByteOrder::Native);
        assert_eq!(f64::read(&native, ByteOrder::Native), -2.5);
        assert_eq!(f64::from_ne_bytes(native), -2.5);
    }
}
