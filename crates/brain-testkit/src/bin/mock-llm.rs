//! `mock-llm`: the model server as a program, for trying clients and codexd out.
//!
//! It reads its arguments and prints; the server is the library's.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use brain_testkit::model_server::{Asked, FAULTS, ModelServer, Reply, ServerConfig, Wire};
use clap::Parser;

/// Requests that are remembered; only those under way are needed.
const REMEMBERED: usize = 1_000;

/// A model server that speaks the wires of OpenAI, Azure OpenAI, TabbyML and Ollama. No model is
/// behind it: answers come from a script or from a seed.
#[derive(Debug, Parser)]
#[command(name = "mock-llm", version, after_long_help = faults())]
struct Options {
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// What answers depend on besides the request
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Words of a streamed answer in a second; 0 is as fast as it can
    #[arg(long, default_value_t = 20)]
    words_a_second: u32,
    /// Answer in one piece where a stream is asked for, as some servers do
    #[arg(long)]
    no_streams: bool,
    /// Models that there are, the default first; may be given more than once
    #[arg(long = "model", value_name = "NAME", default_values = ["mock", "mock-embed"])]
    models: Vec<String>,
    /// Key that requests must have; without it any will do
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Answers to give first: a file with one JSON object a line, such as {"say": "Hello"}
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

fn faults() -> String {
    let mut text = String::from(
        "Faults, by the header `x-mock-fault: FAULT`, as the model `mock/FAULT`, or in a script:\n",
    );
    for (name, what) in FAULTS {
        // Writing to a string does not fail.
        writeln!(text, "  {name:<26} {what}").ok();
    }
    text += "PLACE is head, start, content (after the first of it) or a number of bytes.\n\n";
    text + "Fields of a script's lines, all optional: think, say, calls ([{id, name, arguments}]),\n\
            usage ([input, output]), finish (stop, length, tool_calls, content_filter, none),\n\
            fail or refuse ({code, message}), fault, path (for requests whose path ends so)."
}

impl Options {
    fn config(self) -> Result<ServerConfig, String> {
        let script = self.script.map(|path| {
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
            Reply::script(&text).map_err(|error| format!("{}: {error}", path.display()))
        });
        Ok(ServerConfig {
            address: SocketAddr::new(self.host, self.port),
            script: script.transpose()?.unwrap_or_default(),
            seed: self.seed,
            words_a_second: self.words_a_second,
            streams: !self.no_streams,
            models: self.models,
            api_key: self.key,
            remembered: REMEMBERED,
            log: Some(Arc::new(|asked: &Asked| say(&asked.to_string()))),
        })
    }
}

/// Prints a line; a reader that has gone does not stop the server.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

fn serve(options: Options) -> Result<(), String> {
    let address = SocketAddr::new(options.host, options.port);
    let server = ModelServer::with(options.config()?)
        .map_err(|error| format!("cannot listen on {address}: {error}; choose another --port"))?;
    say(&format!("mock-llm listens on {}", server.url()));
    let wires = [
        ("OpenAI", Wire::OpenAi),
        ("Azure", Wire::Azure),
        ("TabbyML", Wire::TabbyMl),
        ("Ollama", Wire::Ollama),
    ];
    for (name, wire) in wires {
        say(&format!("  {name:<8} {}", server.base_url(wire)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(tokio::signal::ctrl_c()).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match serve(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr().lock(), "mock-llm: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
