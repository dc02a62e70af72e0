//! The nine events, by the names of synapse-p2p, and others that people use.

use std::{fmt, str::FromStr};

use sunrise::{DawnType, SolarEvent};

/// A position of the sun that comes once a day, outside of polar days and nights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// 18° below the horizon, rising: the first light of day. `astronomical_dawn`.
    AstronomicalTwilightBegin,
    /// 12° below, rising: the horizon at sea appears. `nautical_dawn`.
    NauticalTwilightBegin,
    /// 6° below, rising: light enough to work outside. `civil_dawn`, `dawn`.
    CivilTwilightBegin,
    /// The upper limb appears: the centre is at 0.833° below, with the usual refraction.
    Sunrise,
    /// In the meridian. There is one on each day, also when the sun stays below the horizon. `noon`.
    SolarNoon,
    /// The upper limb disappears.
    Sunset,
    /// 6° below, setting. `civil_dusk`, `dusk`.
    CivilTwilightEnd,
    /// 12° below, setting. `nautical_dusk`.
    NauticalTwilightEnd,
    /// 18° below, setting: night. `astronomical_dusk`.
    AstronomicalTwilightEnd,
}

/// How an event is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Crossing {
    Meridian,
    /// Through this altitude of the centre, in degrees.
    Rising(f64),
    Setting(f64),
}

/// The sun's upper limb at the horizon: 34' of refraction and 16' of radius.
const HORIZON: f64 = -5.0 / 6.0;
const CIVIL: f64 = -6.0;
const NAUTICAL: f64 = -12.0;
const ASTRONOMICAL: f64 = -18.0;

impl Event {
    /// All nine, in the order of a day.
    pub const ALL: [Self; 9] = [
        Self::AstronomicalTwilightBegin,
        Self::NauticalTwilightBegin,
        Self::CivilTwilightBegin,
        Self::Sunrise,
        Self::SolarNoon,
        Self::Sunset,
        Self::CivilTwilightEnd,
        Self::NauticalTwilightEnd,
        Self::AstronomicalTwilightEnd,
    ];

    /// The name, as it is written in schedules: `sunrise`, `solar_noon`, `civil_twilight_begin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AstronomicalTwilightBegin => "astronomical_twilight_begin",
            Self::NauticalTwilightBegin => "nautical_twilight_begin",
            Self::CivilTwilightBegin => "civil_twilight_begin",
            Self::Sunrise => "sunrise",
            Self::SolarNoon => "solar_noon",
            Self::Sunset => "sunset",
            Self::CivilTwilightEnd => "civil_twilight_end",
            Self::NauticalTwilightEnd => "nautical_twilight_end",
            Self::AstronomicalTwilightEnd => "astronomical_twilight_end",
        }
    }

    /// Other names that are understood.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::AstronomicalTwilightBegin => &["astronomical_dawn"],
            Self::NauticalTwilightBegin => &["nautical_dawn"],
            Self::CivilTwilightBegin => &["civil_dawn", "dawn"],
            Self::Sunrise | Self::Sunset => &[],
            Self::SolarNoon => &["noon"],
            Self::CivilTwilightEnd => &["civil_dusk", "dusk"],
            Self::NauticalTwilightEnd => &["nautical_dusk"],
            Self::AstronomicalTwilightEnd => &["astronomical_dusk"],
        }
    }

    pub(in super::super) fn all_names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().flat_map(|event| event.aliases().iter().copied().chain([event.name()]))
    }

    /// Short names for a message.
    pub(in super::super) fn names() -> String {
        let short = |event: Self| event.aliases().first().copied().unwrap_or(event.name());
        Self::ALL.map(short).join(" ")
    }

    pub(super) const fn crossing(self) -> Crossing {
        match self {
            Self::AstronomicalTwilightBegin => Crossing::Rising(ASTRONOMICAL),
            Self::NauticalTwilightBegin => Crossing::Rising(NAUTICAL),
            Self::CivilTwilightBegin => Crossing::Rising(CIVIL),
            Self::Sunrise => Crossing::Rising(HORIZON),
            Self::SolarNoon => Crossing::Meridian,
            Self::Sunset => Crossing::Setting(HORIZON),
            Self::CivilTwilightEnd => Crossing::Setting(CIVIL),
            Self::NauticalTwilightEnd => Crossing::Setting(NAUTICAL),
            Self::AstronomicalTwilightEnd => Crossing::Setting(ASTRONOMICAL),
        }
    }

    /// In the words of the `sunrise` crate, which knows no noon.
    pub(super) const fn in_crate(self) -> Option<SolarEvent> {
        Some(match self {
            Self::AstronomicalTwilightBegin => SolarEvent::Dawn(DawnType::Astronomical),
            Self::NauticalTwilightBegin => SolarEvent::Dawn(DawnType::Nautical),
            Self::CivilTwilightBegin => SolarEvent::Dawn(DawnType::Civil),
            Self::Sunrise => SolarEvent::Sunrise,
            Self::SolarNoon => return None,
            Self::Sunset => SolarEvent::Sunset,
            Self::CivilTwilightEnd => SolarEvent::Dusk(DawnType::Civil),
            Self::NauticalTwilightEnd => SolarEvent::Dusk(DawnType::Nautical),
            Self::AstronomicalTwilightEnd => SolarEvent::Dusk(DawnType::Astronomical),
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Hyphens count as underscores, capitals as small letters.
impl FromStr for Event {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.to_ascii_lowercase().replace('-', "_");
        let is = |event: &Self| event.name() == text || event.aliases().contains(&text.as_str());
        Self::ALL.into_iter().find(is).ok_or(())
    }
}
