//! Certificates: the broker's is verified, ours is shown.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use zrecipe::transport::amqp::{Amqp, Certificate, Host, Login, Options, Password, Tls};
use zrecipe::transport::{Error, Transport as _};

use crate::contract::{message, queue};
use crate::stage::Rabbit;

/// An authority, a broker that it vouches for as `localhost`, and the user `guest`.
pub fn write_certificates(directory: &Path) {
    let key = || KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name.push(DnType::CommonName, "an authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(parameters, key()).expect("an authority");
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).expect("write");
    write("authority.pem", authority.pem());
    for (name, common_name) in [("server", "localhost"), ("client", "guest")] {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        let key = key();
        write(&format!("{name}.pem"), parameters.signed_by(&key, &authority).expect("signs").pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

pub async fn certificates_are_verified(stage: &Rabbit) {
    let read = |name: &str| std::fs::read_to_string(stage.node.directory().join(name)).expect("read");
    let trusted = Tls { authorities: Some(read("authority.pem")), certificate: None };
    let certificate = Certificate { chain: read("client.pem"), key: Password::new(read("client.key")) };
    let certified = Tls { certificate: Some(certificate), ..trusted.clone() };
    let password = stage.options().login;
    for (case, host, tls, login, refused) in [
        ("a user", "localhost", trusted.clone(), password.clone(), None),
        ("a client certificate", "localhost", certified, Login::Certificate, None),
        ("an authority that nobody knows", "localhost", Tls::default(), password.clone(), Some("certificate")),
        ("another host's certificate", "127.0.0.1", trusted.clone(), password, Some("certificate")),
        ("nobody", "localhost", trusted, Login::Certificate, Some("client certificate")),
    ] {
        let hosts = vec![Host { name: host.to_owned(), port: stage.node.tls_port }];
        let options = Options { hosts, tls: Some(tls), login, ..stage.options() };
        match (Amqp::connect(options).await, refused) {
            (Ok(transport), None) => {
                transport.send(vec![message("m", queue("out"))]).await.expect("send");
                transport.close().await.expect("close");
            }
            (Err(Error::Unavailable { reason, .. } | Error::Denied { reason, .. }), Some(said)) => {
                assert!(reason.contains(said), "{case}: {reason}")
            }
            (Err(error), _) => panic!("{case}: {error}"),
            (Ok(_), Some(_)) => panic!("{case} was let in"),
        }
    }
}
