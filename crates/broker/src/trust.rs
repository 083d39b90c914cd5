//! What clients need for TLS, and what its errors mean.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_native_certs::load_native_certs;

use crate::address::Tls;
use crate::failure::{Denial, Failure};

/// The error of the TLS library behind an error of a connection.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = error.get_ref().map(|error| error as &(dyn StdError + 'static));
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref().map(|error| error as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// What a client needs for TLS with servers whose certificates one of these authorities (PEM) has issued, or one that this
/// machine trusts.
///
/// # Errors
/// A certificate cannot be used; why, in words.
pub fn client_config(authorities: String) -> Result<ClientConfig, String> {
    let tls = Tls { authorities: Some(authorities), certificate: None };
    tls_config(&tls).map_err(|failure| failure.reason)
}

/// What a client needs for TLS.
///
/// # Errors
/// A certificate or the key cannot be used.
pub(crate) fn tls_config(tls: &Tls) -> Result<ClientConfig, Failure> {
    let of_authority = |reason| Failure::denied(Denial::Certificate, reason);
    let of_own = |reason| Failure::denied(Denial::ClientCertificate, reason);
    let mut roots = RootCertStore::empty();
    for certificate in load_native_certs().certs {
        let _ = roots.add(certificate);
    }
    let certificates = |pem: &str| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        found.map_err(|error| format!("a certificate cannot be read: {error}"))
    };
    let authorities = tls.authorities.as_deref().map(certificates).transpose().map_err(of_authority)?;
    for certificate in authorities.unwrap_or_default() {
        let added = roots.add(certificate);
        added.map_err(|error| of_authority(format!("an authority's certificate cannot be used: {error}")))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::denied(Denial::Other, error.to_string()))?
        .with_root_certificates(roots);
    match &tls.certificate {
        None => Ok(builder.with_no_client_auth()),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.reveal().as_bytes())
                .map_err(|error| of_own(format!("the client key cannot be read: {error}")))?;
            let chain = certificates(&own.chain).map_err(of_own)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| of_own(format!("the client certificate cannot be used: {error}")))
        }
    }
}

/// What is wrong with a certificate or with TLS as a whole, and what to do; it will be so later, too.
pub(crate) fn distrust(error: &io::Error) -> Option<(Denial, &'static str)> {
    use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    Some(match tls_error(error)? {
        rustls::Error::InvalidCertificate(UnknownIssuer) => (
            Denial::Certificate,
            "its certificate is issued by an unknown authority: set `ca-file` to a trusted authority",
        ),
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            (Denial::Certificate, "its certificate is for another host name: set `host` to the name in the certificate")
        }
        rustls::Error::InvalidCertificate(_) => (Denial::Certificate, "its certificate is not valid"),
        rustls::Error::AlertReceived(_) => (
            Denial::ClientCertificate,
            "it rejects the client certificate, or requires one: set `certificate-file` and `key-file`",
        ),
        rustls::Error::InvalidMessage(_) => {
            (Denial::NoTls, "it does not speak TLS on this port: remove `ssl`, or set the TLS port")
        }
        _ => return None,
    })
}
