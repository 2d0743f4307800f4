//! Settings: which there are, as one text documents them, and where their values come from.
//!
//! It knows no setting of any program, looks at no environment by itself, and does not say what
//! values mean.

mod reader;
mod units;
mod values;

pub use self::{
    reader::Reader,
    units::{bytes, duration},
    values::Settings,
};

/// One setting, as a text documents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it does.
    pub meaning: Vec<&'static str>,
    /// A value that somebody would set.
    pub example: &'static str,
}

impl Setting {
    fn read(block: &'static str) -> Option<Self> {
        let (text, assignment) = block.trim().rsplit_once("\n#")?;
        let (text, default) = text.rsplit_once("\n# Default: ")?;
        let (name, example) = assignment.split_once('=')?;
        let meaning = text.lines().map(|line| line.trim_start_matches("# ")).collect();
        Some(Self { name, default, meaning, example })
    }
}

/// The settings of a text in its order, by section: a section begins with `# ---- TITLE ----`, a
/// block is what a setting means, a line `# Default: …` and a line `#NAME=EXAMPLE`.
#[must_use]
pub fn sections(text: &'static str) -> Vec<(&'static str, Vec<Setting>)> {
    text.split("\n# ---- ")
        .skip(1)
        .filter_map(|section| section.split_once(" ----\n"))
        .map(|(title, blocks)| (title, blocks.split("\n\n").filter_map(Setting::read).collect()))
        .collect()
}
