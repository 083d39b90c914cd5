//! What errors of TLS mean.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use crate::address::Tls;
use crate::failure::Denial;

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
pub fn client_config(authorities: String) -> Result<rustls::ClientConfig, String> {
    let tls = Tls { authorities: Some(authorities), certificate: None };
    crate::transport::stomp::client_config(&tls).map_err(|failure| failure.reason)
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
