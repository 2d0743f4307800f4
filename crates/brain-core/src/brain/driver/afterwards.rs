//! What a turn leaves to the background: a title, a summary.
//!
//! It does nothing itself.

use super::{
    super::background::{self, Job, SummaryJob, TitleJob},
    Driver,
};
use crate::memory::TurnState;

impl Driver {
    /// Hands over what the ended turn leaves to be done.
    pub(super) fn leave_to_background(&self, state: TurnState) {
        self.inner.background.note_said();
        let title = self.title_job(state);
        let summary = self.summary_job();
        if title.is_some() || summary.is_some() {
            let session = self.record.session.clone();
            background::enqueue(&self.inner, Job { session, title, summary });
        }
    }

    /// What names the session, if it needs a title. Where nobody could answer, nobody is
    /// asked for a title.
    fn title_job(&self, state: TurnState) -> Option<TitleJob> {
        if !self.is_untitled || !self.inner.config.titles {
            return None;
        }
        let model = self.summary_model().filter(|_| state != TurnState::Failed);
        Some(TitleJob { branch: self.branch.last()?.seq, model })
    }

    /// How much room the session's windows have, if a summary may be due: the job knows better, since
    /// it sees the answer too.
    fn summary_job(&self) -> Option<SummaryJob> {
        let summary_model = self.summary_model()?;
        let (context, most) = (self.context.as_ref()?, self.inner.config.limits.window_entries);
        let is_due = context.until_summary_tokens <= context.budget_tokens / 3
            || most / 10 * 9 <= self.branch.len();
        is_due.then(|| SummaryJob {
            model: self.model_name().to_owned(),
            sees_pictures: self.inner.ports.llm.capabilities(self.model_name()).vision,
            summary_model,
            budget_tokens: context.budget_tokens,
            fixed_tokens: self.fixed_tokens,
        })
    }

    /// Who summarises this session and names it, if anybody does.
    fn summary_model(&self) -> Option<String> {
        let named = self.inner.config.summary_model.as_ref()?;
        if !named.is_empty() {
            return Some(named.clone());
        }
        let answering = self.model_name();
        let is_here = self.inner.ports.llm.capabilities(answering).in_process;
        (!is_here).then(|| answering.to_owned())
    }
}
