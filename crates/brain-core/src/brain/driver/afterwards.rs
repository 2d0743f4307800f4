//! What a turn leaves to the background: a title, a summary.
//!
//! It does nothing itself.

use super::{
    super::background::{self, Job, SummaryJob},
    Driver,
};
use crate::{
    chat::Role,
    memory::{EntryStatus, TurnState},
};

/// Bytes of what the user said that a title may be made of.
const TITLE_BYTES: usize = 2_000;

impl Driver {
    /// Hands over what the ended turn leaves to be done.
    pub(super) fn leave_to_background(&self, state: TurnState) {
        self.inner.background.note_said();
        let title_from = self.title_from().filter(|_| state == TurnState::Completed);
        let summary = self.summary_job();
        if title_from.is_some() || summary.is_some() {
            let session = self.record.session.clone();
            background::enqueue(&self.inner, Job { session, title_from, summary });
        }
    }

    /// What the user said, if the session needs a title.
    fn title_from(&self) -> Option<String> {
        if !self.is_untitled || !self.inner.config.titles {
            return None;
        }
        let said = |role: Role, status| role == Role::User && status == EntryStatus::Complete;
        let first = self.branch.iter().rfind(|it| said(it.body.message.role, it.body.status))?;
        let text = first.body.message.joined_text();
        Some(text.get(..text.floor_char_boundary(TITLE_BYTES)).unwrap_or_default().to_owned())
    }

    /// How much room the session's windows have, if a summary may be due: the job knows better, since
    /// it sees the answer too.
    fn summary_job(&self) -> Option<SummaryJob> {
        self.inner.config.summary_model.as_ref()?;
        let (context, most) = (self.context.as_ref()?, self.inner.config.limits.window_entries);
        let is_due = context.until_summary_tokens <= context.budget_tokens / 3
            || most / 10 * 9 <= self.branch.len();
        is_due.then(|| SummaryJob {
            model: self.model_name().to_owned(),
            budget_tokens: context.budget_tokens,
            fixed_tokens: self.fixed_tokens,
        })
    }
}
