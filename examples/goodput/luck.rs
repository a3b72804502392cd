//! All that is drawn at random: a number in place of a die, so that every client meets the same day.

/// What is drawn. Each has a series of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draw {
    /// The seed of a run of a day.
    Run = 1,
    /// When a call begins.
    Arrival,
    /// What becomes of an attempt.
    Fate,
    /// How long a server is up, or away.
    Window,
    /// The jitter of a client.
    Jitter,
}

/// The number at this place of the series `draw` of `seed`.
pub(crate) fn bits(seed: u64, draw: Draw, n: u64, k: u64) -> u64 {
    [draw as u64, n, k].into_iter().fold(mixed(seed), |state, part| mixed(state ^ mixed(part)))
}

/// That number as a share: at least 0, below 1.
pub(crate) fn share(seed: u64, draw: Draw, n: u64, k: u64) -> f64 {
    (bits(seed, draw, n, k) >> 11) as f64 / (1_u64 << 53) as f64
}

/// SplitMix64.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
