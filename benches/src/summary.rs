//! A few numbers that stand for many: the median and the range.

/// The middle and the ends of some measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Summarizes; `None` if there is nothing to summarize.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let upper = values.len() / 2;
        let lower = (values.len() - 1) / 2;
        Some(Self { median: (values[lower] + values[upper]) / 2.0, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn median_is_the_middle_of_the_sorted_values() {
        let odd = Summary::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        let even = Summary::of([4.0, 1.0]).unwrap();
        assert_eq!(even.median, 2.5);
        assert_eq!(Summary::of([]), None);
    }
}
