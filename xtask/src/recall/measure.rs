//! Recall at k: which share of the turns that answer a question is among the first k that a search finds.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    time::Duration,
};

/// What is measured: how many of the first are looked at.
pub(super) const DEPTHS: [usize; 3] = [5, 10, 20];

/// One question's share at each depth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share([f64; 3]);

impl Share {
    /// `found` are the turns that a search found, best first.
    pub(super) fn of(found: &[&str], evidence: &[String]) -> Self {
        let at = |depth: usize| {
            let first = found.iter().take(depth);
            let right = first.filter(|it| evidence.iter().any(|id| id == *it)).count();
            right as f64 / evidence.len().max(1) as f64
        };
        Self(DEPTHS.map(at))
    }
}

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) sample: String,
    pub(super) category: u64,
    pub(super) words: Share,
    pub(super) fused: Share,
    /// How long both searches took, without embedding the question.
    pub(super) took: [Duration; 2],
}

/// Shares of many questions.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    words: [f64; 3],
    fused: [f64; 3],
    count: usize,
}

impl Mean {
    fn add(&mut self, asked: &Asked) {
        for (sums, share) in [(&mut self.words, asked.words), (&mut self.fused, asked.fused)] {
            sums.iter_mut().zip(share.0).for_each(|(sum, share)| *sum += share);
        }
        self.count += 1;
    }

    fn of<'a>(asked: impl IntoIterator<Item = &'a Asked>) -> Self {
        let mut mean = Self::default();
        asked.into_iter().for_each(|it| mean.add(it));
        mean
    }

    fn shares(&self, sums: [f64; 3]) -> [f64; 3] {
        sums.map(|sum| sum / self.count.max(1) as f64)
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}  ", self.count)?;
        for sums in [self.words, self.fused] {
            for share in self.shares(sums) {
                write!(f, " {share:.3}")?;
            }
            write!(f, "  ")?;
        }
        Ok(())
    }
}

/// Prints everything; the last two lines are recall at 10 where nothing was chosen.
pub(super) fn print(asked: &[Asked], chose: &[&str]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<24}count   words R@5  @10   @20   fused R@5  @10   @20", "")?;
    let mut by_sample: HashMap<&str, Mean> = HashMap::new();
    let mut by_category: HashMap<u64, Mean> = HashMap::new();
    for it in asked {
        by_sample.entry(&it.sample).or_default().add(it);
        by_category.entry(it.category).or_default().add(it);
    }
    let mut samples: Vec<_> = by_sample.into_iter().collect();
    samples.sort_unstable_by_key(|(name, _)| *name);
    for (name, mean) in samples {
        let role = if chose.contains(&name) { "chose weights" } else { "judges" };
        writeln!(out, "{:<24}{mean}", format!("{name} ({role})"))?;
    }
    let mut categories: Vec<_> = by_category.into_iter().collect();
    categories.sort_unstable_by_key(|(category, _)| *category);
    for (category, mean) in categories {
        writeln!(out, "{:<24}{mean}", format!("category {category}"))?;
    }
    let chose = |it: &&Asked| chose.contains(&it.sample.as_str());
    let judges = Mean::of(asked.iter().filter(|it| !chose(it)));
    writeln!(out, "{:<24}{}", "all that chose", Mean::of(asked.iter().filter(chose)))?;
    writeln!(out, "{:<24}{judges}", "all that judge")?;
    for (name, which) in [("words", 0), ("fused", 1)] {
        let mut took: Vec<_> = asked.iter().filter_map(|it| it.took.get(which).copied()).collect();
        took.sort_unstable();
        let at = |share: f64| {
            took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default()
        };
        let (half, most) = (at(0.5), at(0.95));
        writeln!(
            out,
            "search by {name}: p50 {half:.1?}, p95 {most:.1?}, beside embedding the question"
        )?;
    }
    let [_, words, _] = judges.shares(judges.words);
    let [_, fused, _] = judges.shares(judges.fused);
    writeln!(out, "words R@10 {words:.3}\nfused R@10 {fused:.3}")
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn a_share_is_of_the_evidence() {
        let evidence = ["a".to_owned(), "b".to_owned()];
        assert_eq!(Share::of(&["x", "a", "y", "z", "w", "b"], &evidence).0, [0.5, 1.0, 1.0]);
        assert_eq!(Share::of(&[], &evidence).0, [0.0; 3]);
    }
}
