//! How commands end: a word for programs, an exit code of sysexits(3), and when. This is the one
//! table of them; the sentences are made where things fail.

use std::fmt::Write as _;

/// It worked.
pub const OK: u8 = 0;
/// Stopped by Ctrl-C or SIGTERM.
pub const INTERRUPTED: u8 = 130;

const FAILED: u8 = 1;
const USAGE: u8 = 64;
const DATA: u8 = 65;
const UNAVAILABLE: u8 = 69;
const NOT_MADE: u8 = 73;
const IO: u8 = 74;
const TRY_LATER: u8 = 75;

/// What the exit codes mean.
const EXITS: &[(u8, &str)] = &[
    (OK, "it worked"),
    (FAILED, "it did not; none of the others"),
    (USAGE, "the command line, a setting or what was asked for is wrong"),
    (DATA, "a file that was given, or what is stored, cannot be used"),
    (UNAVAILABLE, "something that is needed is not there: a daemon, a provider, a port"),
    (NOT_MADE, "a file or folder cannot be made"),
    (IO, "something cannot be read or written, or there is no room"),
    (TRY_LATER, "somebody else has it, or it broke off: try again later"),
    (INTERRUPTED, "stopped by Ctrl-C or SIGTERM"),
];

macro_rules! codes {
    ($($name:ident $word:literal $exit:ident $when:literal,)*) => {
        /// Why a command failed, where nobody but the command knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $when] $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its stable word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The exit code of a command that it ends.
            #[must_use]
            pub fn exit(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// When it is met.
            #[must_use]
            pub fn when(self) -> &'static str {
                match self { $(Self::$name => $when,)* }
            }
        }
    };
}

codes! {
    Failed "failed" FAILED "something else went wrong; the sentence says what",
    SessionsRefused "sessions_refused" FAILED "sessions of an import were refused; the others came in",
    WrongUsage "wrong_usage" USAGE "the command line is wrong; `codexd help` shows how it goes",
    InvalidSettings "invalid_settings" USAGE "settings are wrong; every one is named, and nothing was started",
    NotADatabase "not_a_database" DATA "the file of the database is none; it was left as it is",
    ForeignDatabase "foreign_database" DATA "the database is another program's; it was left as it is",
    NewerDatabase "newer_database" DATA "a newer codexd wrote the database; it was left as it is",
    DamagedDatabase "damaged_database" DATA "the database does not hold together",
    WrongFile "wrong_file" DATA "the model file is no GGUF file, or has another SHA-256; no copy of it is kept",
    NotText "not_text" DATA "what was piped in is not UTF-8",
    DaemonUnreachable "daemon_unreachable" UNAVAILABLE "no daemon answers at the address, or what listens there does not answer in time",
    UnexpectedAnswer "unexpected_answer" UNAVAILABLE "what answers at the address is no codexd",
    SourceUnreachable "source_unreachable" UNAVAILABLE "the server of the model file cannot be reached",
    SourceRefused "source_refused" UNAVAILABLE "the server of the model file answered with an error, such as 404",
    AddressInUse "address_in_use" UNAVAILABLE "another program listens on the port",
    AddressUnavailable "address_unavailable" UNAVAILABLE "the port is reserved, or the address is not of this machine",
    CannotWrite "cannot_write" NOT_MADE "a file or folder cannot be made or written: no such folder, no permission, read-only",
    FileExists "file_exists" NOT_MADE "a file of that name is there already",
    CannotRead "cannot_read" IO "a file cannot be read",
    DiskFull "disk_full" IO "there is no room on the disk",
    DatabaseUnusable "database_unusable" IO "the database cannot be opened or read",
    IoError "io_error" IO "the operating system reported another error",
    DataFolderInUse "data_folder_in_use" TRY_LATER "another process has the data folder, the database or the folder of models",
    ConnectionBroken "connection_broken" TRY_LATER "the connection to the daemon, or to the server of a file, broke",
    NotErasedYet "not_erased_yet" TRY_LATER "copies of a forgotten session are left after five minutes of waiting",
    Interrupted "interrupted" INTERRUPTED "Ctrl-C or SIGTERM stopped the command; what there is of an answer is kept",
}

/// The codes of the API, which are printed as they come, by the exit code they mean; others mean 1.
const OF_THE_API: &[(u8, &str)] = &[
    (
        FAILED,
        "session_not_found turn_not_found unknown_entry route_not_found method_not_allowed session_exists \
         session_expired memory_mismatch inside_tool_round turn_superseded idempotency_key_reused \
         memory_error internal_error tool_broken too_many_tool_rounds answer_too_long \
         cancelled",
    ),
    (
        USAGE,
        "invalid_request unknown_field not_supported unknown_tool unsupported unsupported_media_type \
         model_not_found provider_rejected unexpected_body host_not_allowed origin_not_allowed",
    ),
    (
        DATA,
        "invalid_json truncated_import invalid_import unsupported_version body_too_large message_too_large \
         context_length_exceeded memory_corrupt model_damaged too_many_messages",
    ),
    (
        UNAVAILABLE,
        "provider_unavailable provider_unauthorised provider_quota_exceeded provider_interrupted \
         provider_protocol memory_unavailable",
    ),
    (IO, "disk_full memory_full"),
    (
        TRY_LATER,
        "turn_in_progress session_conflict overloaded too_many_turns memory_overloaded outcome_unknown \
         turn_lost shutting_down body_timeout turn_timeout restarted provider_overloaded \
         provider_rate_limited",
    ),
];

/// The exit code that a word of the API means; 1 for one that is not in the table.
#[must_use]
pub fn exit_of(word: &str) -> u8 {
    known_exit(word).unwrap_or(FAILED)
}

fn known_exit(word: &str) -> Option<u8> {
    let row = OF_THE_API.iter().find(|(_, words)| words.split_whitespace().any(|it| it == word));
    row.map(|(exit, _)| *exit)
}

/// What the exit codes mean, a line each, for the help of a program.
#[must_use]
pub fn summary() -> String {
    EXITS.iter().fold("Exit codes:\n".to_owned(), |mut text, (exit, meaning)| {
        // A String takes everything.
        let _ = writeln!(text, "  {exit:>3}  {meaning}");
        text
    })
}

/// The whole table in Markdown: exit codes, the words of the commands, the words of the API.
#[must_use]
pub fn reference() -> String {
    let mut text = "| exit code | what it means |\n|---|---|\n".to_owned();
    for (exit, meaning) in EXITS {
        let _ = writeln!(text, "| {exit} | {meaning} |");
    }
    text.push_str("\n| code | exit code | when |\n|---|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(text, "| `{}` | {} | {} |", code.word(), code.exit(), code.when());
    }
    text.push_str("\n| codes of the API | exit code |\n|---|---|\n");
    for (exit, words) in OF_THE_API {
        let words: Vec<_> = words.split_whitespace().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(text, "| {} | {exit} |", words.join(", "));
    }
    text
}

#[cfg(test)]
mod tests;
