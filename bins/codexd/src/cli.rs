//! The command line: which commands there are and what they take. It does nothing itself.

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;
use client_commands::{self as commands, Conversation, Format, OnConflict};
use url::Url;

/// A brain daemon: between any app and any language model, with a memory.
#[derive(Debug, Parser)]
#[command(version, after_help = include_str!("help/codexd.txt"), after_long_help = long_help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon
    #[command(after_help = include_str!("help/serve.txt"))]
    Serve {
        /// IP address to listen on, or localhost, in place of HOST
        #[arg(long)]
        host: Option<String>,
        /// Port to listen on, in place of PORT; 0 takes a free one
        #[arg(long)]
        port: Option<String>,
    },
    /// Talk to a model
    #[command(after_help = include_str!("help/chat.txt"))]
    Chat(Chat),
    /// Ask one question; only the answer goes to standard output
    #[command(after_help = include_str!("help/ask.txt"))]
    Ask {
        /// The question; what is piped in is added below it
        message: Vec<String>,
        /// Print the whole answer as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        chat: Chat,
    },
    /// List, show, search and erase conversations
    #[command(after_help = include_str!("help/sessions.txt"))]
    Sessions {
        #[command(subcommand)]
        command: Option<Sessions>,
        #[command(flatten)]
        target: Target,
    },
    /// Write everything that is remembered
    #[command(after_help = include_str!("help/export.txt"))]
    Export {
        /// The file to write; without it, standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// One JSON document, or a session a line
        #[arg(long, default_value = "json", value_parser = choice(&FORMATS))]
        format: Format,
        #[command(flatten)]
        target: Target,
    },
    /// Put an export back: ours, ChatGPT's or Open WebUI's
    #[command(after_help = include_str!("help/import.txt"))]
    Import {
        /// The file to read; `-` is standard input
        file: PathBuf,
        /// What to do with a session whose name another one has
        #[arg(long, default_value = "refuse", value_parser = choice(&ON_CONFLICT))]
        on_conflict: OnConflict,
        #[command(flatten)]
        target: Target,
    },
    /// List models and see who answers, or fetch a model
    Models {
        #[command(subcommand)]
        command: Option<Models>,
        #[command(flatten)]
        target: Target,
    },
    /// Show and choose the model and the system prompt that hold where nobody says otherwise
    #[command(after_help = include_str!("help/config.txt"))]
    Config {
        #[command(subcommand)]
        command: Option<Config>,
        #[command(flatten)]
        target: Target,
    },
    /// See what works, what does not, and what to do
    #[command(after_help = include_str!("help/doctor.txt"))]
    Doctor,
    /// Print how commands end: exit codes, and the words that errors end with
    #[command(after_help = client_commands::reference())]
    ExitCodes,
    /// Print the data folder that the settings name
    DataDir {
        /// What to print if they name none
        #[arg(long, value_name = "FOLDER")]
        default: Option<PathBuf>,
    },
    /// Check the settings, ask the providers, and start nothing
    #[command(after_help = include_str!("help/check.txt"))]
    Check {
        /// Ask nobody
        #[arg(long)]
        offline: bool,
    },
    /// Print a completion script for a shell
    #[command(after_help = include_str!("help/completions.txt"))]
    Completions { shell: Shell },
}

fn long_help() -> String {
    format!("{}\n{}", include_str!("help/codexd.txt"), client_commands::summary())
}

/// Which daemon to speak to.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The daemon's address; without it, one is looked for, or started for the command
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) url: Option<Url>,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Go on with this session, or begin it
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// The model, as `provider/model` or a name of the default provider's
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The system prompt; kept with the session
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Chat {
    /// Whom to speak to, and with what the model is talked to.
    pub(crate) fn split(self) -> (Option<Url>, Conversation) {
        let Self { session, model, system, target } = self;
        (target.url, Conversation { session, model, system })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List them, the newest first
    List,
    /// Print one
    Show {
        /// Its id, as the list has it
        id: String,
    },
    /// Find what was said
    Search {
        /// The words; any of them may match
        #[arg(required = true)]
        words: Vec<String>,
        /// Most messages to show
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Erase one for good
    Delete {
        /// Its id, as the list has it
        id: String,
        /// Wait until every copy is erased
        #[arg(long)]
        wait: bool,
    },
}

const FORMATS: Choices<Format> = [("json", Format::Json), ("ndjson", Format::Ndjson)];
const ON_CONFLICT: Choices<OnConflict> =
    [("refuse", OnConflict::Refuse), ("rename", OnConflict::Rename)];

/// Words, and what they mean.
type Choices<T> = [(&'static str, T); 2];

/// Reads one of some words.
fn choice<T: Copy + Send + Sync>(choices: &'static Choices<T>) -> impl TypedValueParser<Value = T> {
    let words = PossibleValuesParser::new(choices.iter().map(|it| it.0));
    words.try_map(|word| {
        let meant = choices.iter().find(|it| it.0 == word);
        meant.map(|it| it.1).ok_or("there is no such choice")
    })
}

/// What a command of the command line means; without one, it lists.
pub(crate) fn sessions(command: Option<Sessions>) -> commands::Sessions {
    match command {
        None | Some(Sessions::List) => commands::Sessions::List,
        Some(Sessions::Show { id }) => commands::Sessions::Show { id },
        Some(Sessions::Search { words, limit }) => {
            commands::Sessions::Search { words: words.join(" "), limit }
        }
        Some(Sessions::Delete { id, wait }) => commands::Sessions::Delete { id, wait },
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show what holds, and where it comes from
    Show,
    /// Choose a value, from the next message on
    Set {
        /// What to choose
        #[arg(value_parser = config_names())]
        name: String,
        /// The value; an empty system prompt is none
        value: String,
    },
    /// Go back to what the daemon was started with
    Unset {
        /// What to go back with
        #[arg(value_parser = config_names())]
        name: String,
    },
}

fn config_names() -> PossibleValuesParser {
    PossibleValuesParser::new(commands::Config::names())
}

/// What a command of the command line means; without one, it shows.
pub(crate) fn config(command: Option<Config>) -> commands::Config {
    match command {
        None | Some(Config::Show) => commands::Config::Show,
        Some(Config::Set { name, value }) => commands::Config::Set { name, value },
        Some(Config::Unset { name }) => commands::Config::Unset { name },
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List those that can be asked for
    List,
    /// Fetch a GGUF file into the data folder
    #[command(after_help = include_str!("help/pull.txt"))]
    Pull(Pull),
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// A .gguf file, or its http:// or https:// address
    #[arg(value_name = "PATH_OR_URL")]
    pub(crate) source: String,
    /// What the file's SHA-256 must be, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub(crate) sha256: Option<String>,
    /// Replace a file of the same name
    #[arg(long)]
    pub(crate) force: bool,
}

fn sha256(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err("a SHA-256 has 64 hexadecimal digits".to_owned())
}
