//! Certificates: the broker's is verified, ours is shown.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use zrecipe::address::{Certificate, Host, Login, Password, Tls};
use zrecipe::transport::amqp::{Amqp, Options};
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
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name.push(DnType::CommonName, "guest");
    let stranger = key();
    write("stranger.pem", parameters.self_signed(&stranger).expect("signs").pem());
    write("stranger.key", stranger.serialize_pem());
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
    let stranger = Certificate { chain: read("stranger.pem"), key: Password::new(read("stranger.key")) };
    let strange = Tls { certificate: Some(stranger), ..trusted.clone() };
    let password = stage.options().login;
    let (tls, clear) = (stage.node.tls_port, stage.node.port);
    for (case, host, port, settings, login, refused) in [
        ("a user", "localhost", tls, Some(trusted.clone()), password.clone(), None),
        ("a client certificate", "localhost", tls, Some(certified), Login::Certificate, None),
        ("an authority that nobody knows", "localhost", tls, Some(Tls::default()), password.clone(), Some("`ca-file`")),
        (
            "another host's certificate",
            "127.0.0.1",
            tls,
            Some(trusted.clone()),
            password.clone(),
            Some("another host name"),
        ),
        (
            "a certificate of another authority",
            "localhost",
            tls,
            Some(strange),
            Login::Certificate,
            Some("the client certificate"),
        ),
        ("TLS where there is none", "localhost", clear, Some(trusted.clone()), password.clone(), Some("remove `ssl`")),
        ("nobody", "localhost", tls, Some(trusted), Login::Certificate, Some("client certificate")),
        ("clear text where TLS is spoken", "localhost", tls, None, password, Some("`ssl: true`")),
    ] {
        let hosts = vec![Host { name: host.to_owned(), port }];
        // Somebody in between may hang up as well, and not for ever.
        let may_pass = settings.is_none() || case.contains("another authority");
        let options = Options { hosts, tls: settings, login, ..stage.options() };
        match (Amqp::connect(options).await, refused) {
            (Ok(transport), None) => {
                transport.send(vec![message("m", queue("out"))]).await.expect("send");
                transport.close().await.expect("close");
            }
            (Err(Error::Denied { reason, .. }), Some(said)) => assert!(reason.contains(said), "{case}: {reason}"),
            (Err(Error::Unavailable { reason, .. }), Some(said)) if may_pass => {
                assert!(reason.contains(said), "{case}: {reason}");
            }
            (Err(error), _) => panic!("{case}: {error}"),
            (Ok(_), Some(_)) => panic!("{case} was let in"),
        }
    }
}
