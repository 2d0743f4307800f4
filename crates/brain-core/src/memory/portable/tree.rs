//! Whether a session that was exported is a tree, and which place in it is at fault if not.
//!
//! It judges positions only; what the entries say is not its business, but for tool rounds.

use std::iter;

use super::{ExportedEntry, ExportedSession, RESTORE};
use crate::{
    ids::Seq,
    memory::{MemoryError, MemoryErrorKind, inside_tool_round},
};

/// The largest position that an import may have: what a JSON number keeps exactly everywhere.
const MAX_SEQ: Seq = Seq((1 << 53) - 1);

/// Why an exported session is no tree; all positions are those in the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Positions do not rise from 1.
    #[error(
        "position {seq} comes after {before}; positions rise from 1 to {max}",
        max = MAX_SEQ
    )]
    Position {
        /// The position of the entry.
        seq: Seq,
        /// That of the entry before it in the list; 0 if it is the first one.
        before: Seq,
    },
    /// An entry follows one that does not stand before it.
    #[error("entry {seq} follows entry {parent}, which does not stand before it")]
    Parent {
        /// The position of the entry.
        seq: Seq,
        /// That of the entry it follows.
        parent: Seq,
    },
    /// A summary is of an entry that is not there, or does not come after the summary before.
    #[error("the summary at entry {at} is of no entry, or not after the summary before it")]
    Summary {
        /// Its position.
        at: Seq,
    },
    /// The head is no entry.
    #[error("the head is entry {head}, which is not there")]
    Head {
        /// Its position.
        head: Seq,
    },
    /// The head stands between a tool call and its result.
    #[error("the head is entry {head}, which lies inside a tool round")]
    InsideToolRound {
        /// Its position.
        head: Seq,
    },
}

impl TreeError {
    /// What a store says of it.
    #[must_use]
    pub fn kind(self) -> MemoryErrorKind {
        match self {
            Self::Position { .. }
            | Self::Parent { .. }
            | Self::Summary { .. }
            | Self::Head { .. } => MemoryErrorKind::UnknownParent,
            Self::InsideToolRound { .. } => MemoryErrorKind::InsideToolRound,
        }
    }

    /// The position that is at fault.
    #[must_use]
    pub fn seq(self) -> Seq {
        match self {
            Self::Position { seq, .. } | Self::Parent { seq, .. } => seq,
            Self::Summary { at } => at,
            Self::Head { head } | Self::InsideToolRound { head } => head,
        }
    }
}

impl ExportedSession {
    /// Checks that positions rise from 1, gaps allowed, that each parent stands before its
    /// children, that summaries rise too and stand at entries, and that the head is an entry
    /// outside of any tool round.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::UnknownParent`] when the entries are no tree or the head is none of
    /// them, [`MemoryErrorKind::InsideToolRound`]; the source is the [`TreeError`].
    pub fn check_tree(&self) -> Result<(), MemoryError> {
        self.find_fault().map_or(Ok(()), |(fault, _)| {
            Err(MemoryError::new(RESTORE, fault.kind()).with_source(fault))
        })
    }

    /// What is wrong with the tree, and the index of the entry that is at fault, if it is one.
    pub(super) fn find_fault(&self) -> Option<(TreeError, Option<usize>)> {
        let of_entry = self.entry_fault().map(|(fault, index)| (fault, Some(index)));
        of_entry.or_else(|| self.summary_fault().or_else(|| self.head_fault()).map(|it| (it, None)))
    }

    fn entry_fault(&self) -> Option<(TreeError, usize)> {
        let mut before = Seq(0);
        for (index, ExportedEntry { seq, parent, .. }) in self.entries.iter().enumerate() {
            let seq = *seq;
            if seq <= before || MAX_SEQ < seq {
                return Some((TreeError::Position { seq, before }, index));
            }
            // Most entries follow the one before.
            let unknown = parent.filter(|it| *it != before || index == 0);
            if let Some(parent) = unknown.filter(|it| self.find(index, *it).is_none()) {
                return Some((TreeError::Parent { seq, parent }, index));
            }
            before = seq;
        }
        None
    }

    fn summary_fault(&self) -> Option<TreeError> {
        let mut before = Seq(0);
        for at in self.summaries.iter().map(|it| it.at) {
            if at <= before || self.find(self.entries.len(), at).is_none() {
                return Some(TreeError::Summary { at });
            }
            before = at;
        }
        None
    }

    fn head_fault(&self) -> Option<TreeError> {
        let head = self.head?;
        let branch = self.branch(head);
        if branch.clone().next().is_none() {
            return Some(TreeError::Head { head });
        }
        let is_inside = inside_tool_round(branch.map(|it| &*it.entry.message));
        is_inside.then_some(TreeError::InsideToolRound { head })
    }

    /// The entry at `seq` among the first `end` ones.
    fn find(&self, end: usize, seq: Seq) -> Option<&ExportedEntry> {
        let earlier = self.entries.get(..end)?;
        earlier.binary_search_by_key(&seq, |it| it.seq).ok().and_then(|index| earlier.get(index))
    }

    fn branch(&self, last: Seq) -> impl Iterator<Item = &ExportedEntry> + Clone {
        let find = |seq| self.find(self.entries.len(), seq);
        iter::successors(find(last), move |it| it.parent.and_then(find))
    }
}
