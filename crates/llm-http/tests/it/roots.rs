//! Secure servers: whom the client believes, and which protocol they settle.

use std::sync::{Arc, atomic::Ordering};

use llm_http::{Network, Roots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::{
    client, get,
    server::{Answers, Server},
};

/// A certificate authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that believes it.
    pub(crate) fn believed(&self) -> Network {
        let roots = Roots::from_pem(self.pem().as_bytes(), "test").unwrap();
        Network { roots, ..Network::default() }
    }

    /// A server's TLS for `name` that offers these protocols.
    pub(crate) fn tls(&self, name: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let chain = vec![certificate.der().clone()];
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }
}

async fn check(protocols: &[&str], expected_http2: usize) {
    let authority = Authority::new();
    let server = Server::secure(Answers::Json, authority.tls("localhost", protocols)).await;
    let url = format!("https://localhost:{}", server.address.port());
    let believing = client(&url, &authority.believed());
    for _ in 0..3 {
        assert_eq!(get(&believing).await.unwrap()["ok"], true);
    }
    assert_eq!(server.seen.http2.load(Ordering::SeqCst), expected_http2, "{protocols:?}");
    let error = get(&client(&url, &Network::default())).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn an_authority_that_is_added_is_believed_and_the_server_chooses_the_protocol() {
    check(&["h2", "http/1.1"], 3).await;
    check(&["http/1.1"], 0).await;
    check(&[], 0).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_believed() {
    let authority = Authority::new();
    let server = Server::secure(Answers::Json, authority.tls("other.example", &["h2"])).await;
    let url = format!("https://localhost:{}", server.address.port());
    let error = get(&client(&url, &authority.believed())).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
