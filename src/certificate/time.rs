//! Time as certificates and the ledger write it: whole seconds since 1970, UTC, nothing else.

use std::fmt;
use std::str::FromStr;

/// Seconds since 1970-01-01T00:00:00Z. Never "forever": arithmetic saturates below [`UnixTime::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(u64);

impl UnixTime {
    /// 9999-12-30T22:00:00Z, about the last second that RFC 3339 can write in every zone.
    pub const MAX: Self = Self(253_402_207_200);

    /// From seconds; later than [`Self::MAX`] is [`Self::MAX`].
    pub const fn from_secs(secs: u64) -> Self {
        if secs < Self::MAX.0 { Self(secs) } else { Self::MAX }
    }

    /// Seconds since 1970.
    pub fn secs(self) -> u64 {
        self.0
    }

    /// This time and a while.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self::from_secs(self.0.saturating_add(span.0))
    }

    /// This time less a while, not before 1970.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; nothing if it is before.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// `20261122T054000Z`, as a key ID writes the grant's end.
    pub fn compact(self) -> String {
        self.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }

    /// Reads exactly what [`Self::compact`] writes.
    pub fn from_compact(text: &str) -> Option<Self> {
        let (day, clock) = text.split_once('T')?;
        let at = |part: &str, from, to| part.get(from..to).map(str::to_owned);
        let rfc = format!(
            "{}-{}-{}T{}:{}:{}",
            at(day, 0, 4)?,
            at(day, 4, 6)?,
            at(day, 6, 8)?,
            at(clock, 0, 2)?,
            at(clock, 2, 4)?,
            at(clock, 4, 7)?
        );
        let time: Self = rfc.parse().ok()?;
        (time.compact() == text).then_some(time)
    }
}

impl fmt::Display for UnixTime {
    /// RFC 3339 in UTC, `2026-11-22T05:40:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(secs) {
            Ok(time) => write!(f, "{time}"),
            // Unreachable: every UnixTime is at most MAX, which jiff can write.
            Err(_) => write!(f, "@{secs}"),
        }
    }
}

impl FromStr for UnixTime {
    type Err = &'static str;
    /// Reads RFC 3339 in UTC with whole seconds, exactly as written by `Display`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| "not a time as 2026-11-22T05:40:00Z")?;
        let secs = u64::try_from(time.as_second()).map_err(|_| "a time before 1970")?;
        let time = Self::from_secs(secs);
        if time.to_string() == text { Ok(time) } else { Err("not a time as 2026-11-22T05:40:00Z") }
    }
}

impl serde::Serialize for UnixTime {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for UnixTime {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A length of time in whole seconds, typed as `90s`, `5m`, `1h` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Span {
    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(secs)
    }

    /// In seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Span {
    /// `1h30m`, `5m`, `90s` for what is not whole minutes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        if seconds != 0 || self.0 == 0 {
            if self.0 > 120 {
                write!(f, "{}m{seconds}s", self.0 / 60)
            } else {
                write!(f, "{}s", self.0)
            }
        } else if hours == 0 {
            write!(f, "{minutes}m")
        } else if minutes == 0 {
            write!(f, "{hours}h")
        } else {
            write!(f, "{hours}h{minutes}m")
        }
    }
}

impl FromStr for Span {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BAD: &str = "not a length of time as 90s, 5m, 1h or 1h30m";
        let (mut total, mut number, mut units) = (0u64, None::<u64>, "dhms".chars());
        for c in text.chars() {
            if let Some(digit) = c.to_digit(10) {
                let so_far = number.unwrap_or(0);
                number = Some(
                    so_far.checked_mul(10).and_then(|n| n.checked_add(digit.into())).ok_or(BAD)?,
                );
                continue;
            }
            // Units come once each and from large to small: `find` eats those it passes.
            let unit = match units.find(|unit| *unit == c).ok_or(BAD)? {
                'd' => 86_400,
                'h' => 3_600,
                'm' => 60,
                _ => 1,
            };
            let part = number.take().ok_or(BAD)?.checked_mul(unit).ok_or(BAD)?;
            total = total.checked_add(part).ok_or(BAD)?;
        }
        // A year is more than anything hallpass signs; it keeps sums far from overflow.
        if number.is_some() || total == 0 || total > 366 * 86_400 {
            Err(BAD)
        } else {
            Ok(Self(total))
        }
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|why| serde::de::Error::custom(format!("{text:?} is {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_one_way_and_read_back() {
        let time = UnixTime::from_secs(1795326000);
        assert_eq!(time.to_string(), "2026-11-22T05:40:00Z");
        assert_eq!(time.compact(), "20261122T054000Z");
        assert_eq!(UnixTime::from_compact("20261122T054000Z"), Some(time));
        for secs in [0, 1, 951_782_399, 2_147_483_648, 4_294_967_296, UnixTime::MAX.secs()] {
            let time = UnixTime::from_secs(secs);
            assert_eq!(UnixTime::from_compact(&time.compact()), Some(time));
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for bad in [
            "",
            "20261122T054000",
            "20261122T054000z",
            "20261322T054000Z",
            "20261122T054060Z",
            "ä0261122T054000Z",
        ] {
            assert_eq!(UnixTime::from_compact(bad), None, "{bad}");
        }
        assert!("2026-11-22T05:40:00+00:00".parse::<UnixTime>().is_err());
    }

    #[test]
    fn lengths_of_time_are_what_people_type() {
        for (text, secs) in
            [("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("2d", 172_800)]
        {
            assert_eq!(text.parse(), Ok(Span::secs(secs)), "{text}");
        }
        for bad in [
            "",
            "5",
            "m",
            "0s",
            "-5m",
            "5m5m",
            "5m1h",
            "1.5h",
            "99999999999999999999s",
            "400d",
            "5 m",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?} was taken");
        }
        for (secs, text) in
            [(300, "5m"), (3600, "1h"), (5400, "1h30m"), (90, "90s"), (605, "10m5s"), (7, "7s")]
        {
            assert_eq!(Span::secs(secs).to_string(), text);
        }
    }
}
