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
use candle_core::quantized::gguf_file::Value;
use futures_util::TryStreamExt;
use llm_local::{LocalConfig, LocalGateway};
use tempfile::TempDir;

use crate::{
    cache, models, request, short,
    tiny::{self, number},
};

fn gateway(model: &Path, cache: &Path) -> LocalGateway {
    LocalGateway::new(LocalConfig { chat_model: Some(model.to_owned()), ..LocalConfig::new(cache) })
}

async fn failure(model: &Path) -> LlmError {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(model, folder.path());
    gateway.complete(request(vec![Message::user("Hi")], short(1))).await.unwrap_err()
}

/// What a file of these bytes leads to.
async fn failure_of(bytes: &[u8]) -> LlmError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    failure(&path).await
}

/// What a small model leads to whose metadata has this value.
async fn failure_with(key: &str, value: Value) -> LlmError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    tiny::write(&path, |metadata| {
        metadata.insert(key.to_owned(), value);
    });
    failure(&path).await
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
    let model = tiny::bytes();
    let damaged: [&[u8]; 5] = [
        b"",
        b"This is not a model.",
        &model[..1000],
        &model[..model.len() / 2],
        &model[..model.len() - 100],
    ];
    for bytes in damaged {
        let error = failure_of(bytes).await;
        assert_eq!(error.kind(), LlmErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("model.gguf"), "{error}");
    }
}

#[tokio::test]
async fn a_failed_load_is_told_until_another_file_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let model = tiny::bytes();
    fs::write(&path, &model[..model.len() / 2]).unwrap();
    let gateway = gateway(&path, folder.path());
    assert_eq!(gateway.models().await.unwrap().models.len(), 1, "nobody knows yet");
    let asked = || gateway.complete(request(vec![Message::user("Hi")], short(1)));
    let failure = asked().await.unwrap_err();
    let told = gateway.models().await.unwrap_err();
    assert_eq!((told.kind(), told.to_string()), (failure.kind(), failure.to_string()));
    fs::write(&path, &model).unwrap();
    assert_eq!(gateway.models().await.unwrap().models.len(), 1, "another file is not blamed");
    asked().await.unwrap();
    assert_eq!(gateway.models().await.unwrap().models.len(), 1);
}

#[tokio::test]
async fn numbers_that_do_not_fit_the_tensors_are_refused() {
    let names = || Value::Array(vec![Value::String("a".to_owned())]);
    for (key, value) in [
        ("llama.block_count", number(2)),
        ("llama.block_count", Value::U32(u32::MAX)),
        ("llama.block_count", Value::String("1".to_owned())),
        ("llama.context_length", number(0)),
        ("llama.embedding_length", number(0)),
        ("llama.embedding_length", number(65)),
        ("llama.attention.head_count", number(0)),
        ("llama.attention.head_count_kv", number(2)),
        ("llama.rope.dimension_count", number(31)),
        ("llama.feed_forward_length", number(95)),
        ("tokenizer.ggml.tokens", names()),
        ("tokenizer.ggml.token_type", names()),
        ("tokenizer.ggml.merges", names()),
        ("tokenizer.chat_template", Value::String("{% if".to_owned())),
    ] {
        let error = failure_with(key, value.clone()).await;
        assert_eq!(error.kind(), LlmErrorKind::Damaged, "{key} = {value:?}: {error}");
    }
}

#[tokio::test]
async fn an_engine_that_panics_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    // An alignment of 0 makes the engine's reader divide by zero.
    tiny::write(&path, |metadata| {
        metadata.insert("general.alignment".to_owned(), number(0));
    });
    let gateway = gateway(&path, folder.path());
    let ask = || gateway.complete(request(vec![Message::user("Hi")], short(1)));
    let error = ask().await.unwrap_err();
    assert_eq!(error.kind(), LlmErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("get-model"), "{error}");

    // The thread goes on, and the file may be replaced by a good one.
    tiny::write(&path, |_| ());
    ask().await.unwrap();
}

#[tokio::test]
async fn another_kind_of_model_is_unsupported() {
    for (key, value) in [
        ("general.architecture", "qwen2"),
        ("tokenizer.ggml.pre", "llama-bpe"),
        ("tokenizer.chat_template", ""),
    ] {
        let error = failure_with(key, Value::String(value.to_owned())).await;
        assert_eq!(error.kind(), LlmErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(value), "{error}");
    }
}

#[tokio::test]
async fn a_template_that_refuses_is_the_clients_to_know() {
    let refusing = Value::String("{{ raise_exception('roles must alternate') }}".to_owned());
    let error = failure_with("tokenizer.chat_template", refusing).await;
    assert_eq!(error.kind(), LlmErrorKind::Rejected);
}

/// A model in a folder of its own, and a cache folder beside it.
struct Installed {
    _folder: TempDir,
    path: PathBuf,
    cache: PathBuf,
}

fn installed() -> Installed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    tiny::write(&path, |_| ());
    let cache = folder.path().join("cache");
    Installed { _folder: folder, path, cache }
}

/// Loads the model; whether it had to be converted for that.
async fn converts(model: &Installed) -> bool {
    let gateway = gateway(&model.path, &model.cache);
    let stream = gateway.stream(request(vec![Message::user("Hi")], short(1))).await.unwrap();
    let events: Vec<ChatEvent> = stream.try_collect().await.unwrap();
    let Some(ChatEvent::Progress(first)) = events.first() else { panic!("{events:?}") };
    first.stage.starts_with("preparing")
}

fn cached(model: &Installed) -> PathBuf {
    let files: Vec<_> = fs::read_dir(&model.cache).unwrap().map(|it| it.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

#[tokio::test]
async fn the_converted_copy_is_made_once_and_anew_when_it_is_damaged_or_outdated() {
    let model = installed();
    assert!(converts(&model).await, "the first time");
    assert!(!converts(&model).await, "the second time");

    let file = cached(&model);
    let length = fs::metadata(&file).unwrap().len();
    File::options().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    assert!(converts(&model).await, "cut off");
    assert_eq!(fs::metadata(&file).unwrap().len(), length, "whole again");

    let mut flipped = File::options().read(true).write(true).open(&file).unwrap();
    flipped.seek(SeekFrom::Start(length / 2)).unwrap();
    let mut byte = [0];
    flipped.read_exact(&mut byte).unwrap();
    flipped.seek(SeekFrom::Start(length / 2)).unwrap();
    flipped.write_all(&[!byte[0]]).unwrap();
    drop(flipped);
    assert!(converts(&model).await, "one byte wrong");

    fs::write(&file, b"short").unwrap();
    assert!(converts(&model).await, "too short");

    let source = File::options().write(true).open(&model.path).unwrap();
    source.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(converts(&model).await, "another source");
    assert!(!converts(&model).await, "and the copy is kept");
    cached(&model);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_done_without() {
    let mut model = installed();
    fs::write(&model.cache, b"a file, not a folder").unwrap();
    model.cache.push("below");
    assert!(converts(&model).await);
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
        assert_eq!(error.kind(), LlmErrorKind::Damaged);
        assert!(error.to_string().contains(damaged), "{error}");
        fs::remove_file(folder.path().join(damaged)).unwrap();
        assert_eq!(embed().await.unwrap_err().kind(), LlmErrorKind::ModelNotFound);
    }
}

#[tokio::test]
async fn the_list_of_models_says_that_a_file_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, "a text").unwrap();
    let error = gateway(&path, folder.path()).models().await.unwrap_err();
    assert!(error.to_string().contains("is damaged or is no model file"), "{error}");
}
