//! Moments as people write them, in UTC.

use super::Nanos;

/// The date as `YYYY-MM-DD`, UTC.
pub fn date(unix_s: u64) -> String {
    // Days to a civil date, by eras of 400 years that start in March (Howard Hinnant's derivation).
    let days = (unix_s / 86_400) as i64 + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

impl Nanos {
    /// Returns date and time of day as `YYYY-MM-DD HH:MM:SS.mmm`, UTC; a moment of a monotonic clock is counted from 1970 too.
    pub fn utc_text(self) -> String {
        let (s, ms) = (self.get() / 1_000_000_000, self.as_millis() % 1_000);
        format!("{} {:02}:{:02}:{:02}.{ms:03}", date(s), s / 3600 % 24, s / 60 % 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_709_251_199), "2024-02-29");
        assert_eq!(date(1_709_251_200), "2024-03-01");
        assert_eq!(date(4_102_444_799), "2099-12-31");
        assert_eq!(Nanos::new(1_709_251_199_987_654_321).utc_text(), "2024-02-29 23:59:59.987");
    }
}
