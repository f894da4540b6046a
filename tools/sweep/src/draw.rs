//! Draws that are the same on every machine and in every version: ChaCha8, and rejection done here.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// A number below `limit`, each as likely as any other.
///
/// # Panics
/// If `limit` is 0.
pub fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    assert!(limit > 0, "something should be there to be drawn");
    // The numbers beyond the last whole multiple of the limit would favour the small ones.
    let rest = (u64::MAX % limit + 1) % limit;
    loop {
        let drawn = random.next_u64();
        if drawn <= u64::MAX - rest {
            return drawn % limit;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_that_it_always_gave() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let drawn: Vec<u64> = (0..6).map(|_| below(&mut random, 1000)).collect();
        assert_eq!(drawn, [635, 994, 745, 443, 440, 238]);
    }

    #[test]
    fn every_number_is_as_likely() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[below(&mut random, 3) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }
}
