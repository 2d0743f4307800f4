//! Model files that are missing, wrong, damaged or changed, and the converted copy.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use brain_core::{
    chat::Message,
    llm::{ChatEvent, EmbedRequest, LlmError, LlmErrorKind, LlmGateway, LlmGatewayExt},
};
use futures_util::TryStreamExt;
use llm_local::{LocalConfig, LocalGateway};
use tempfile::TempDir;

use crate::{cache, chat_model, models, request, short};

fn gateway(model: &Path, cache: &Path) -> LocalGateway {
    LocalGateway::new(LocalConfig { chat_model: Some(model.to_owned()), ..LocalConfig::new(cache) })
}

async fn failure(model: &Path) -> LlmError {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(model, folder.path());
    gateway.complete(request(vec![Message::user("Hi")], short(1))).await.unwrap_err()
}

/// A model file whose bytes are `change`d.
async fn failure_of(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> LlmError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, change(fs::read(chat_model()).unwrap())).unwrap();
    failure(&path).await
}

fn replace(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).expect("the old bytes");
    bytes.splice(at..at + old.len(), new.iter().copied());
    bytes
}

/// The bytes of a GGUF metadata entry of a 32-bit number.
fn entry(key: &str, value: u32) -> Vec<u8> {
    [key.as_bytes(), &4u32.to_le_bytes(), &value.to_le_bytes()].concat()
}

#[tokio::test]
async fn a_missing_model_says_how_to_get_one() {
    let error = failure(Path::new("/nowhere/model.gguf")).await;
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    for words in
        ["/nowhere/model.gguf", "scripts/get-model", "codexd models pull", "LOCAL_MODEL_PATH"]
    {
        assert!(error.to_string().contains(words), "{error}");
    }
    let none = LocalGateway::new(LocalConfig::new("/nowhere"));
    let error = none.complete(request(vec![Message::user("Hi")], short(1))).await.unwrap_err();
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    let embed = EmbedRequest { model: String::new(), inputs: vec!["a".to_owned()] };
    assert_eq!(none.embed(embed).await.unwrap_err().kind(), LlmErrorKind::ModelNotFound);
}

#[tokio::test]
async fn a_file_that_is_no_model_is_named() {
    for change in [
        (|_| b"This is not a model.".to_vec()) as fn(Vec<u8>) -> Vec<u8>,
        |_| Vec::new(),
        |bytes| bytes[..1000].to_vec(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| replace(bytes, &8192u32.to_le_bytes(), &0u32.to_le_bytes()),
    ] {
        let error = failure_of(change).await;
        assert_eq!(error.kind(), LlmErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("model.gguf"), "{error}");
    }
}

#[tokio::test]
async fn numbers_that_do_not_fit_the_tensors_are_refused() {
    for (key, right, wrong) in [
        ("llama.block_count", 30, 31),
        ("llama.block_count", 30, u32::MAX),
        ("llama.embedding_length", 576, 0),
        ("llama.embedding_length", 576, 577),
        ("llama.attention.head_count", 9, 0),
        ("llama.attention.head_count_kv", 3, 9),
        ("llama.rope.dimension_count", 64, 63),
        ("llama.feed_forward_length", 1536, 1535),
    ] {
        let error =
            failure_of(|bytes| replace(bytes, &entry(key, right), &entry(key, wrong))).await;
        assert_eq!(error.kind(), LlmErrorKind::Unavailable, "{key} = {wrong}: {error}");
    }
}

#[tokio::test]
async fn an_engine_that_panics_is_survived() {
    // An alignment of 0 divides by zero in the engine's reader.
    let key = b"general.size_label\x08\0\0\0\x04\0\0\0\0\0\0\x00135M";
    let zero = [&b"general.alignment\x04\0\0\0"[..], &0u32.to_le_bytes()].concat();
    let error = failure_of(|bytes| {
        let bytes = replace(bytes, key, &zero);
        replace(
            bytes,
            &[&18u64.to_le_bytes()[..], b"general.alignment"].concat(),
            &[&17u64.to_le_bytes()[..], b"general.alignment"].concat(),
        )
    })
    .await;
    assert_eq!(error.kind(), LlmErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("get-model"), "{error}");
}

#[tokio::test]
async fn another_kind_of_model_is_unsupported() {
    let value = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let error = failure_of(|bytes| replace(bytes, &value("llama"), &value("qwen2"))).await;
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
    assert!(error.to_string().contains("qwen2"), "{error}");
    let error = failure_of(|bytes| replace(bytes, &value("smollm"), &value("qwen2."))).await;
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
    let error =
        failure_of(|bytes| replace(bytes, b"tokenizer.chat_template", b"tokenizer.chat_templatf"))
            .await;
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
}

/// A copy of the model in a folder of its own, and a cache folder beside it.
struct Copy {
    _folder: TempDir,
    model: PathBuf,
    cache: PathBuf,
}

fn copy() -> Copy {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("copy.gguf");
    fs::copy(chat_model(), &model).unwrap();
    let cache = folder.path().join("cache");
    Copy { _folder: folder, model, cache }
}

/// Loads the model; whether it had to be converted for that.
async fn converts(copy: &Copy) -> bool {
    let gateway = gateway(&copy.model, &copy.cache);
    let stream = gateway.stream(request(vec![Message::user("Hi")], short(1))).await.unwrap();
    let events: Vec<ChatEvent> = stream.try_collect().await.unwrap();
    let Some(ChatEvent::Progress(first)) = events.first() else { panic!("{events:?}") };
    first.stage.starts_with("preparing")
}

fn cached(copy: &Copy) -> PathBuf {
    let files: Vec<_> = fs::read_dir(&copy.cache).unwrap().map(|it| it.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

#[tokio::test]
async fn the_converted_copy_is_made_once_and_anew_when_it_is_damaged_or_outdated() {
    let copy = copy();
    assert!(converts(&copy).await, "the first time");
    assert!(!converts(&copy).await, "the second time");

    let file = cached(&copy);
    let length = fs::metadata(&file).unwrap().len();
    File::options().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    assert!(converts(&copy).await, "cut off");
    assert_eq!(fs::metadata(&file).unwrap().len(), length, "whole again");

    let mut flipped = File::options().read(true).write(true).open(&file).unwrap();
    flipped.seek(SeekFrom::Start(length / 2)).unwrap();
    let mut byte = [0];
    flipped.read_exact(&mut byte).unwrap();
    flipped.seek(SeekFrom::Start(length / 2)).unwrap();
    flipped.write_all(&[!byte[0]]).unwrap();
    drop(flipped);
    assert!(converts(&copy).await, "one byte wrong");

    fs::write(&file, b"short").unwrap();
    assert!(converts(&copy).await, "too short");

    let model = File::options().write(true).open(&copy.model).unwrap();
    model.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(converts(&copy).await, "another source");
    assert!(!converts(&copy).await, "and the copy is kept");
    cached(&copy);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_done_without() {
    let mut copy = copy();
    fs::write(&copy.cache, b"a file, not a folder").unwrap();
    copy.cache.push("below");
    assert!(converts(&copy).await);
}

#[tokio::test]
async fn a_damaged_embedding_model_is_named() {
    let source = models().join("all-MiniLM-L6-v2");
    let names = ["model.safetensors", "tokenizer.json", "config.json"];
    for damaged in names {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::copy(source.join(name), folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join(damaged), b"{}").unwrap();
        let embedding_model = Some(folder.path().to_owned());
        let gateway =
            LocalGateway::new(LocalConfig { embedding_model, ..LocalConfig::new(cache()) });
        let embed =
            || gateway.embed(EmbedRequest { model: String::new(), inputs: vec!["a".to_owned()] });
        let error = embed().await.unwrap_err();
        assert_eq!(error.kind(), LlmErrorKind::Unavailable);
        assert!(error.to_string().contains(damaged), "{error}");
        fs::remove_file(folder.path().join(damaged)).unwrap();
        assert_eq!(embed().await.unwrap_err().kind(), LlmErrorKind::ModelNotFound);
    }
}
