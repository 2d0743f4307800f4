//! Writes `docs/CONFIGURATION.md` and `.env.example`, made of the settings; it says nothing of its
//! own about any one of them.

use codexd::settings::{self, KEYS, LATER, Setting};

#[cfg(not(test))]
fn main() -> std::io::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::write(root.join("docs/CONFIGURATION.md"), markdown())?;
    std::fs::write(root.join(".env.example"), settings::EXAMPLE)
}

/// The text of `docs/CONFIGURATION.md`.
pub(crate) fn markdown() -> String {
    let mut page = include_str!("reference.md").to_owned();
    for (title, settings) in settings::sections() {
        page.push_str(&format!("\n## {title}\n"));
        settings.iter().for_each(|setting| page.push_str(&entry(setting)));
    }
    let names = LATER.split_whitespace().map(|name| format!("- `{name}`\n")).collect::<String>();
    page.push_str(&format!(
        "\n## Not yet\n\nThese names belong to versions to come. Set today, they change nothing, \
         and `codexd check` says so.\n`{KEYS}` is refused, so that nobody relies on it before keys \
         are checked.\n\n{names}"
    ));
    page.push_str(include_str!("exit-codes.md"));
    page.push_str(&client_commands::reference());
    page
}

fn entry(setting: &Setting) -> String {
    let Setting { name, default, meaning, example } = setting;
    let secret =
        if settings::is_secret(name) { "- A secret: never shown, never logged.\n" } else { "" };
    let meaning = meaning.join("\n");
    format!(
        "\n### `{name}`\n\n{meaning}\n\n- Default: {default}\n- Example: `{name}={example}`\n{secret}"
    )
}
