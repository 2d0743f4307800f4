//! GGUF files: read with bounds, converted once to a format with fast kernels, cached.
//!
//! It knows tensors and metadata, not what they mean.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufReader, BufWriter, Cursor, Read, Seek, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use candle_core::{
    Device, Result,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, TensorInfo, Value},
    },
};
use sha2::{Digest, Sha256};

/// More than the header of any llama model takes, and little enough to hold.
const HEADER_LIMIT: u64 = 16 << 20;
/// More than any model has.
const MAX_TENSORS: usize = 16_384;
/// Length of the SHA-256 that ends a cached file.
const SEAL: u64 = 32;
/// Metadata of a cached file: which source it was made from.
const SOURCE_KEY: &str = "codexd.source";
/// Raise it when the conversion changes, so that older copies are made anew.
const CACHE_FORMAT: u32 = 1;

/// What of a model file is done, in bytes: `(done, total)`.
pub(crate) type Report<'a> = &'a mut dyn FnMut(Step, u64, u64);

/// What is being done to a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reading a file whose tensors can be used as they are.
    Load,
    /// Reading and converting; happens once a file.
    Convert,
}

/// A model file of which only the header is read.
pub(crate) struct ModelFile {
    path: PathBuf,
    file: BufReader<File>,
    header: Content,
}

impl ModelFile {
    /// Reads the header of the file at `path`.
    pub(crate) fn new(path: &Path, file: File) -> Result<Self> {
        let mut file = BufReader::new(file);
        let mut head = Vec::new();
        file.by_ref().take(HEADER_LIMIT).read_to_end(&mut head)?;
        let header = Content::read(&mut Cursor::new(head))?;
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// A text of the metadata.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        text(&self.header.metadata, key)
    }

    /// Reads all of it, or the converted copy in `cache_dir`, which is made if need be.
    pub(crate) fn load(self, cache_dir: &Path, report: Report<'_>) -> Result<Weights> {
        let cache = Cache::new(&self.path, cache_dir)?;
        if let Some(weights) = cache.read(report) {
            return Ok(weights);
        }
        let weights = self.read(report)?;
        if weights.converted
            && let Err(error) = cache.write(&weights)
        {
            let path = cache.path.display();
            tracing::warn!(%error, %path, "the converted model could not be kept; the next start converts again");
        }
        Ok(weights)
    }

    fn read(mut self, report: Report<'_>) -> Result<Weights> {
        let Content { metadata, tensor_infos, tensor_data_offset, .. } = self.header;
        let total = payload(&tensor_infos, self.file.get_ref().metadata()?.len())?;
        let converted = tensor_infos.values().any(|it| is_slow(it.ggml_dtype, it.shape.dims()));
        let step = if converted { Step::Convert } else { Step::Load };
        let mut in_order: Vec<(String, TensorInfo)> = tensor_infos.into_iter().collect();
        in_order.sort_unstable_by_key(|(_, info)| info.offset);
        let mut tensors = HashMap::with_capacity(in_order.len());
        let mut done = 0;
        for (name, info) in in_order {
            report(step, done, total);
            let tensor = info.read(&mut self.file, tensor_data_offset, &Device::Cpu)?;
            done += tensor.storage_size_in_bytes() as u64;
            tensors.insert(name, fast(tensor)?);
        }
        report(step, total, total);
        Ok(Weights { metadata, tensors, converted })
    }
}

/// A model file in memory.
pub(crate) struct Weights {
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, QTensor>,
    converted: bool,
}

impl Weights {
    /// Takes a tensor out, if its shape is the one that is wanted.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<QTensor> {
        let Some(tensor) = self.tensors.remove(name) else {
            candle_core::bail!("there is no tensor {name}");
        };
        if tensor.shape().dims() != shape {
            candle_core::bail!("tensor {name} is {:?}, not {shape:?}", tensor.shape());
        }
        Ok(tensor)
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The rows of a matrix.
    pub(crate) fn rows(&self, name: &str) -> Result<usize> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor.shape().dims2()?.0),
            None => candle_core::bail!("there is no tensor {name}"),
        }
    }

    /// A value of the metadata.
    pub(crate) fn value(&self, key: &str) -> Result<&Value> {
        match self.metadata.get(key) {
            Some(value) => Ok(value),
            None => candle_core::bail!("there is no metadata {key}"),
        }
    }

    /// A text of the metadata.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        text(&self.metadata, key)
    }
}

fn text<'a>(metadata: &'a HashMap<String, Value>, key: &str) -> Option<&'a str> {
    metadata.get(key)?.to_string().ok().map(String::as_str)
}

/// Bytes of all tensors; refused when they are more than the file has.
fn payload(tensors: &HashMap<String, TensorInfo>, file_size: u64) -> Result<u64> {
    if tensors.len() > MAX_TENSORS {
        candle_core::bail!("{} tensors are too many", tensors.len());
    }
    let mut total: u64 = 0;
    for info in tensors.values() {
        let elements =
            info.shape.dims().iter().try_fold(1u64, |all, &it| all.checked_mul(it as u64));
        let blocks = elements.unwrap_or(u64::MAX) / info.ggml_dtype.block_size() as u64;
        total = total.saturating_add(blocks.saturating_mul(info.ggml_dtype.type_size() as u64));
    }
    if total > file_size {
        candle_core::bail!("the tensors take {total} bytes, and the file has {file_size}");
    }
    Ok(total)
}

/// Whether the engine has no fast kernel for such a tensor, and would have with `Q8_0`.
fn is_slow(dtype: GgmlDType, shape: &[usize]) -> bool {
    let convertible = matches!(shape, [_, columns] if columns % GgmlDType::Q8_0.block_size() == 0);
    convertible
        && match dtype {
            GgmlDType::Q4_1
            | GgmlDType::Q5_0
            | GgmlDType::Q5_1
            | GgmlDType::Q8_1
            | GgmlDType::F16
            | GgmlDType::BF16
            | GgmlDType::F32 => true,
            GgmlDType::Q4_0
            | GgmlDType::Q8_0
            | GgmlDType::Q2K
            | GgmlDType::Q3K
            | GgmlDType::Q4K
            | GgmlDType::Q5K
            | GgmlDType::Q6K
            | GgmlDType::Q8K => false,
        }
}

fn fast(tensor: QTensor) -> Result<QTensor> {
    if is_slow(tensor.dtype(), tensor.shape().dims()) {
        QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)
    } else {
        Ok(tensor)
    }
}

/// The converted copy of one model file: a GGUF file with the SHA-256 of itself behind it.
struct Cache {
    path: PathBuf,
    /// Changes when the source does.
    fingerprint: String,
}

impl Cache {
    fn new(source: &Path, cache_dir: &Path) -> Result<Self> {
        let metadata = fs::metadata(source)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let fingerprint = format!("{CACHE_FORMAT}:{}:{}", metadata.len(), modified.as_nanos());
        let name = source.file_stem().unwrap_or(source.as_os_str()).to_string_lossy();
        Ok(Self { path: cache_dir.join(format!("{name}.as-q8_0.gguf")), fingerprint })
    }

    /// The copy, if there is one, it is whole, and it was made from this source.
    fn read(&self, report: Report<'_>) -> Option<Weights> {
        if !self.path.exists() {
            return None;
        }
        match self.read_sealed(report) {
            Ok(weights) => Some(weights),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%error, %path, "the converted model cannot be used; converting anew");
                None
            }
        }
    }

    fn read_sealed(&self, report: Report<'_>) -> Result<Weights> {
        let mut file = File::open(&self.path)?;
        let Some(length) = file.metadata()?.len().checked_sub(SEAL) else {
            candle_core::bail!("it is too short");
        };
        let digest = digest(&mut (&file).take(length))?;
        let mut seal = Vec::new();
        file.read_to_end(&mut seal)?;
        if seal != digest {
            candle_core::bail!("it is not what was written");
        }
        file.rewind()?;
        let copy = ModelFile::new(&self.path, file)?;
        if copy.text(SOURCE_KEY) != Some(self.fingerprint.as_str()) {
            candle_core::bail!("it was made from another file");
        }
        copy.read(report)
    }

    /// Writes the copy aside and renames it: nobody ever sees half of it. It is not synced, for a
    /// copy that a power cut damaged fails its seal and is made anew.
    fn write(&self, weights: &Weights) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let source = Value::String(self.fingerprint.clone());
        let mut metadata: BTreeMap<&str, &Value> =
            weights.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        metadata.insert(SOURCE_KEY, &source);
        let tensors: BTreeMap<&str, &QTensor> =
            weights.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut writer = BufWriter::new(&mut file);
        gguf_file::write(
            &mut writer,
            &metadata.into_iter().collect::<Vec<_>>(),
            &tensors.into_iter().collect::<Vec<_>>(),
        )?;
        writer.flush()?;
        drop(writer);
        file.rewind()?;
        let digest = digest(&mut file)?;
        file.write_all(&digest)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn digest(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = reader.read(&mut buffer)?;
        match buffer.get(..length) {
            Some([]) | None => return Ok(hasher.finalize().to_vec()),
            Some(bytes) => hasher.update(bytes),
        }
    }
}
