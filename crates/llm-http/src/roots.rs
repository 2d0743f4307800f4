//! Which certificate authorities are believed: Mozilla's, and those that an operator adds.
//!
//! It never takes one away, and there is no way to believe everybody.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use brain_core::BoxError;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Most bytes of a file of certificates; all of Mozilla's are a quarter of a megabyte.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// The certificate authorities to believe besides Mozilla's; none unless told.
#[derive(Clone, Default)]
pub struct Roots {
    extra: Vec<CertificateDer<'static>>,
}

/// Certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// The file cannot be read.
    #[error("the certificates in {path} cannot be read; check that the file is there and readable")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate.
    #[error("{name} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    Empty {
        /// What was read.
        name: String,
    },
    /// A certificate is broken.
    #[error("certificate {place} in {name} cannot be used; write the file anew")]
    Broken {
        /// What was read.
        name: String,
        /// Which one, from 1.
        place: usize,
        /// Why.
        source: BoxError,
    },
}

impl Roots {
    /// The certificates of a PEM file besides Mozilla's. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not such a file.
    pub fn from_file(path: &Path) -> Result<Self, InvalidRoots> {
        let read = || {
            if MAX_FILE_BYTES < fs::metadata(path)?.len() {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            fs::read(path)
        };
        let unreadable = |source| InvalidRoots::Unreadable { path: path.to_owned(), source };
        Self::from_pem(&read().map_err(unreadable)?, &path.display().to_string())
    }

    /// The certificates of this text in PEM form besides Mozilla's; `name` is what errors call it.
    /// What is no certificate is skipped.
    ///
    /// # Errors
    ///
    /// When there is none, or one that is broken.
    pub fn from_pem(pem: &[u8], name: &str) -> Result<Self, InvalidRoots> {
        let mut store = RootCertStore::empty();
        let mut extra = Vec::new();
        for (place, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let broken = |source| InvalidRoots::Broken { name: name.to_owned(), place, source };
            let certificate = certificate.map_err(|error| broken(error.into()))?;
            store.add(certificate.clone()).map_err(|error| broken(error.into()))?;
            extra.push(certificate);
        }
        if extra.is_empty() {
            return Err(InvalidRoots::Empty { name: name.to_owned() });
        }
        Ok(Self { extra })
    }

    /// A client's TLS that believes these.
    pub(crate) fn tls(&self) -> Result<ClientConfig, rustls::Error> {
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &self.extra {
            store.add(certificate.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(store).with_no_client_auth())
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("extra", &self.extra.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, path::Path};

    use super::{InvalidRoots, Roots};

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
    }

    #[test]
    fn every_certificate_of_a_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let text = format!("# ours\n{}\nbetween\r\n{}", authority(), authority());
        std::fs::write(&path, text).unwrap();
        assert_eq!(Roots::from_file(&path).unwrap().extra.len(), 2);
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for empty in ["", "hello", &key] {
            let error = Roots::from_pem(empty.as_bytes(), "CA_FILE").unwrap_err();
            assert!(matches!(error, InvalidRoots::Empty { .. }), "{error:?}");
            assert!(error.to_string().starts_with("CA_FILE holds no certificate"), "{error}");
        }
        let cut = authority().replace("-----END CERTIFICATE-----", "");
        let nonsense = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for broken in [&cut, nonsense] {
            let text = format!("{}{broken}", authority());
            let error = Roots::from_pem(text.as_bytes(), "CA_FILE").unwrap_err();
            assert!(error.to_string().starts_with("certificate 2 in CA_FILE"), "{error}");
            assert!(error.source().is_some());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        for path in ["/no/such/file", "/"] {
            let error = Roots::from_file(Path::new(path)).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
            assert!(error.source().is_some());
        }
    }
}
