//! `cargo xtask`: what the workspace measures and proves about itself. One file a subcommand; it never ships.

mod crash;
mod recall;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Automation of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Crash(crash::Crash),
    Recall(recall::Recall),
}

fn main() -> ExitCode {
    let result = match Xtask::parse().command {
        Command::Crash(command) => command.run(),
        Command::Recall(command) => command.run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody may be there to read it.
            drop(writeln!(io::stderr(), "xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}
