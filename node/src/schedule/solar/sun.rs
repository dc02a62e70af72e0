//! Where the sun stands: Jean Meeus, *Astronomical Algorithms*, chapters 12, 22 and 25, with the greater perturbations of
//! the earth by its neighbours, which the chapter leaves out. Altitudes are those of SPA within 0.005° between 1980 and 2100.
//!
//! Time is counted in days of UT since noon of 1 January 2000, angles in degrees.

/// Terrestrial time is ahead of UT by 69 s (2026), and moves by seconds in a decade: 0.00002° of the sun each.
const DELTA_T: f64 = 69.2 / 86_400.0;

/// The sun seen from the surface stands lower than from the centre of the earth, by so much at the horizon.
const PARALLAX: f64 = 8.794 / 3_600.0;

/// Right ascension less Greenwich sidereal time, and declination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    /// West of Greenwich, 0 when the sun is in its meridian. In degrees, any number of turns.
    greenwich_hour_angle: f64,
    declination: f64,
}

fn sin(degrees: f64) -> f64 {
    degrees.to_radians().sin()
}

fn cos(degrees: f64) -> f64 {
    degrees.to_radians().cos()
}

/// Within half a turn of zero.
pub(super) fn wrapped(degrees: f64) -> f64 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

/// Apparent place of the sun.
pub(super) fn position(days: f64) -> Position {
    let t = (days + DELTA_T) / 36_525.0;
    let mean_longitude = 280.466_46 + t * (36_000.769_83 + t * 0.000_303_2);
    let anomaly = 357.529_11 + t * (35_999.050_29 - t * 0.000_153_7);
    let centre = (1.914_602 - t * (0.004_817 + t * 0.000_014)) * sin(anomaly)
        + (0.019_993 - t * 0.000_101) * sin(2.0 * anomaly)
        + 0.000_289 * sin(3.0 * anomaly);
    let (nutation, nutation_in_obliquity) = nutation(t, mean_longitude);
    let aberration = -0.005_69;
    let longitude = mean_longitude + centre + perturbations(t) + nutation + aberration;
    let obliquity = 23.439_291 - t * 0.013_004_2 + nutation_in_obliquity;
    let right_ascension = (cos(obliquity) * sin(longitude)).atan2(cos(longitude)).to_degrees();
    let declination = (sin(obliquity) * sin(longitude)).asin().to_degrees();
    let sidereal = 280.460_618_37 + 360.985_647_366_29 * days + nutation * cos(obliquity);
    Position { greenwich_hour_angle: sidereal - right_ascension, declination }
}

/// The two largest terms each, in longitude and in obliquity.
fn nutation(t: f64, sun: f64) -> (f64, f64) {
    let node = 125.044_52 - 1_934.136_261 * t;
    let longitude = -0.004_778 * sin(node) - 0.000_367 * sin(2.0 * sun);
    (longitude, 0.002_558 * cos(node) + 0.000_159 * cos(2.0 * sun))
}

/// By Venus, Jupiter and the moon: *Astronomical Formulae for Calculators*, chapter 18, counted from 2000.
fn perturbations(t: f64) -> f64 {
    let t = t + 1.0;
    0.001_34 * cos(153.23 + 22_518.754_1 * t)
        + 0.001_54 * cos(216.57 + 45_037.508_2 * t)
        + 0.002_00 * cos(312.69 + 32_964.357_7 * t)
        + 0.001_79 * sin(350.74 + 445_267.114_2 * t)
}

impl Position {
    /// West of the meridian of `longitude`; negative in the morning.
    pub(super) fn hour_angle(self, longitude: f64) -> f64 {
        wrapped(self.greenwich_hour_angle + longitude)
    }

    /// Of the centre, without refraction, as seen from the surface.
    pub(super) fn altitude(self, latitude: f64, longitude: f64) -> f64 {
        let hour_angle = self.greenwich_hour_angle + longitude;
        let sine = sin(latitude) * sin(self.declination) + cos(latitude) * cos(self.declination) * cos(hour_angle);
        let altitude = sine.clamp(-1.0, 1.0).asin().to_degrees();
        altitude - PARALLAX * cos(altitude)
    }
}
