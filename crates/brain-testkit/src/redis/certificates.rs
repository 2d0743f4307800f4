//! An authority and the certificate of a server on this machine, made with `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const EXTENSIONS: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n";

/// A folder with an authority and a certificate by it.
#[derive(Debug)]
pub(super) struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes an authority, and a certificate for 127.0.0.1 by it.
    pub(super) fn make() -> Self {
        let temporary = tempfile::Builder::new().prefix("tls").tempdir().unwrap();
        let folder = temporary.path();
        fs::write(folder.join("extensions"), EXTENSIONS).unwrap();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=test authority"];
        openssl(folder, &[&authority[..], &key, &["-keyout", "ca.key", "-out", "ca.pem"]].concat());
        let request = ["req", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "request"];
        openssl(folder, &[&request[..], &key].concat());
        let sign = ["x509", "-req", "-days", "2", "-in", "request", "-CA", "ca.pem"];
        let by = ["-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions"];
        openssl(folder, &[&sign[..], &by, &["-out", "server.pem"]].concat());
        Self { folder: temporary }
    }

    /// The certificate of the authority.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The arguments of a server that uses them.
    pub(super) fn arguments(&self) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut arguments = vec!["--tls-cert-file".to_owned(), file("server.pem")];
        arguments.extend(["--tls-key-file".to_owned(), file("server.key")]);
        arguments.extend(["--tls-ca-cert-file".to_owned(), file("ca.pem")]);
        arguments
            .extend(["--tls-auth-clients", "no", "--tls-replication", "yes"].map(str::to_owned));
        arguments.extend(["--tls-cluster", "yes"].map(str::to_owned));
        arguments
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = output
        .unwrap_or_else(|error| panic!("openssl cannot be run ({error}): apt-get install openssl"));
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
