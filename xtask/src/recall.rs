//! `cargo xtask recall PATH`: how much of what answers a question is found, on a LoCoMo file.
//!
//! It goes through the real store, its search and the embedding model in the process, so that the figures are what users
//! get. Each conversation is an owner, each turn an entry. It judges no answer: no language model is asked.

mod locomo;
mod measure;

use std::{
    collections::HashMap,
    error::Error,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect, Recall as _, Search, SessionLog},
    recall::{embed_some, query_vector},
};
use brain_tokio::TokioClock;
use clap::Args;
use llm_local::{LocalConfig, LocalGateway};
use memory_sqlite::{SqliteConfig, SqliteStore};

use self::{
    locomo::{Question, Sample, Turn},
    measure::{Asked, DEPTHS, Share},
};

/// What can go wrong with the tool itself, as a sentence.
type Fault = Box<dyn Error + Send + Sync>;

/// The conversations on which the weights of the ranking were chosen; the others judge them.
const CHOSE: &[&str] = &["conv-26", "conv-41"];
/// Entries that are embedded in one step.
const STEP: usize = 128;

/// Measures recall@k on a LoCoMo file, by words alone and with embeddings.
#[derive(Args, Debug)]
pub(crate) struct Recall {
    /// The file; CC BY-NC, and not part of this repository.
    path: PathBuf,
    /// The folder of the embedding model.
    #[arg(long, default_value = "data/models/all-MiniLM-L6-v2")]
    model: PathBuf,
}

/// What everything is asked of.
struct Bench {
    store: SqliteStore,
    gateway: LocalGateway,
    model: String,
}

impl Recall {
    /// Measures and prints; always true.
    pub(crate) fn run(self) -> Result<bool, Fault> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let asked = runtime.block_on(self.measure())?;
        measure::print(&asked, CHOSE)?;
        Ok(true)
    }

    async fn measure(self) -> Result<Vec<Asked>, Fault> {
        let samples = locomo::read(&self.path)?;
        let folder = tempfile::tempdir()?;
        let config = SqliteConfig::new(folder.path().join("memory.db"));
        let store = SqliteStore::open(&config, Arc::new(TokioClock::new()))?;
        let local =
            LocalConfig { embedding_model: Some(self.model), ..LocalConfig::new(folder.path()) };
        let gateway = LocalGateway::new(local);
        let model = gateway.status().embedding.map(|it| it.id).unwrap_or_default();
        let bench = Bench { store, gateway, model };
        let mut turns = HashMap::new();
        let start = Instant::now();
        for sample in &samples {
            bench.tell(sample, &mut turns).await?;
        }
        note(&format!("{} turns written in {:.1?}", turns.len(), start.elapsed()))?;
        let start = Instant::now();
        while embed_some(&bench.store, &bench.gateway, &bench.model, STEP).await? == STEP {}
        note(&format!("embedded in {:.1?}", start.elapsed()))?;
        let mut asked = Vec::new();
        for sample in &samples {
            for question in &sample.questions {
                asked.push(bench.ask(sample, question, &turns).await?);
            }
        }
        Ok(asked)
    }
}

/// Where an entry is, and which turn it is.
type Turns = HashMap<(SessionKey, Seq), String>;

impl Bench {
    /// Writes a conversation into the store.
    async fn tell(&self, sample: &Sample, turns: &mut Turns) -> Result<(), Fault> {
        for (number, session) in (1..).zip(&sample.sessions) {
            let key = SessionKey::new(owner(sample)?, SessionId::new(format!("session {number}"))?);
            let drafts = session.iter().map(draft).collect::<Result<_, _>>()?;
            let append = Append {
                parent: None,
                expect: Expect::Absent,
                append_id: AppendId::new("all")?,
                fence: None,
                drafts,
            };
            self.store.append(&key, append).await?;
            let places = (1..).map(|seq| (key.clone(), Seq(seq)));
            turns.extend(places.zip(session.iter().map(|it| it.id.clone())));
        }
        Ok(())
    }

    async fn ask(
        &self,
        sample: &Sample,
        question: &Question,
        turns: &Turns,
    ) -> Result<Asked, Fault> {
        let owner = owner(sample)?;
        let depth = DEPTHS.into_iter().max().unwrap_or_default();
        let by_words = Search::words(&question.text, depth);
        let vector = query_vector(&self.gateway, &self.model, &question.text).await?;
        let by_both = Search { vector: Some(vector), ..by_words.clone() };
        let mut shares = Vec::new();
        for search in [by_words, by_both] {
            let start = Instant::now();
            let hits = self.store.search(&owner, &search).await?;
            let took = start.elapsed();
            let places = hits.into_iter().map(|it| (it.session, it.entry.seq));
            let found: Vec<_> =
                places.filter_map(|it| turns.get(&it)).map(String::as_str).collect();
            shares.push((Share::of(&found, &question.evidence), took));
        }
        let [(words, first), (fused, second)] = *shares.as_slice() else {
            return Err("there are two searches".into());
        };
        let (sample, category) = (sample.name.clone(), question.category);
        Ok(Asked { sample, category, words, fused, took: [first, second] })
    }
}

fn owner(sample: &Sample) -> Result<Owner, Fault> {
    Ok(Owner::new(sample.name.as_str())?)
}

fn draft(turn: &Turn) -> Result<Draft, Fault> {
    let message =
        if turn.is_first { Message::user(&turn.text) } else { Message::assistant(&turn.text) };
    Ok(Draft::new(EntryBody::complete(message, turn.time))?)
}

fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}
