//! How close vectors are. Who makes them, and where they are kept, is said elsewhere.

use super::REACH;

/// What the entry itself counts for,
const OWN: f32 = 1.0;
/// and what it counts for together with its neighbours.
const AROUND: f32 = 1.0;
/// The share of a neighbour at this distance.
const NEARBY: [f32; 3] = [1.0, 0.7, 0.5];

/// The vector of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Its number among the entries of the session that can be found.
    pub position: u64,
    /// Of unit length.
    pub values: Vec<f32>,
}

/// How close each entry of a session is to the query, alone and with what is said around it.
///
/// `vectors` are those of one session by position, of as many numbers as the query's.
#[must_use]
pub fn closeness(query: &[f32], vectors: &[Vector]) -> Vec<f32> {
    let of = |at: usize| {
        let Some(own) = vectors.get(at) else { return 0.0 };
        OWN * dot(query, &own.values) + AROUND * around(query, vectors, at)
    };
    (0..vectors.len()).map(of).collect()
}

/// The cosine between the query and the weighted sum of an entry and its neighbours.
fn around(query: &[f32], vectors: &[Vector], at: usize) -> f32 {
    let Some(own) = vectors.get(at) else { return 0.0 };
    let mut sum = vec![0.0; query.len()];
    let first = at.saturating_sub(REACH as usize);
    for other in vectors.iter().skip(first).take(2 * REACH as usize + 1) {
        let distance = other.position.abs_diff(own.position);
        let Some(weight) = NEARBY.get(distance as usize) else { continue };
        sum.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += weight * value);
    }
    let length = dot(&sum, &sum).sqrt();
    if 0.0 < length { dot(query, &sum) / length } else { 0.0 }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::{Vector, closeness};

    #[test]
    fn an_entry_is_as_close_as_it_and_its_neighbours_are() {
        let at = |position, values: [f32; 2]| Vector { position, values: values.to_vec() };
        let alone = closeness(&[1.0, 0.0], &[at(1, [1.0, 0.0]), at(9, [0.0, 1.0])]);
        assert_eq!(alone, [2.0, 0.0]);
        let beside = closeness(&[1.0, 0.0], &[at(1, [1.0, 0.0]), at(2, [0.0, 1.0])]);
        assert!(beside[0] < 2.0 && 0.5 < beside[1], "{beside:?}");
        assert_eq!(closeness(&[1.0], &[]), [0.0; 0]);
        assert_eq!(closeness(&[1.0], &[Vector { position: 1, values: vec![0.0] }]), [0.0]);
    }
}
