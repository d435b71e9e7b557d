//! A broker with listeners for SASL over TLS, beside the plain one of the test's own.

use std::net::SocketAddr;
use std::path::Path;

use aqueduct_cli::local::ports;
use aqueduct_tests::{Listener, Private};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::certificates::{Certificate, Certificates, HOST};

/// How long a login lasts: then a client has to log in again, with a password that may have changed meanwhile.
const LOGIN_MS: u32 = 3000;

/// Where to reach the listeners.
pub(super) struct Listeners {
    /// Its certificate is valid.
    pub(super) secure: String,
    /// Its certificate has expired.
    pub(super) expired: String,
}

/// Adds the listeners; the broker is started anew.
pub(super) async fn secure(servers: &Private, certificates: &Certificates, folder: &Path) -> Listeners {
    let listener = |name: &'static str, certificate: &Certificate| {
        let keystore = folder.join(format!("{name}.pem"));
        certificate.write(&keystore);
        let port = ports::free().unwrap();
        let own = format!("listener.name.{name}");
        let properties = format!(
            "{own}.ssl.keystore.type=PEM\n{own}.ssl.keystore.location={}\n\
             {own}.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             {own}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             {own}.scram-sha-512.connections.max.reauth.ms={LOGIN_MS}",
            keystore.display()
        );
        Listener { name, protocol: "SASL_SSL", port, advertised: format!("{HOST}:{port}"), properties }
    };
    let listeners = [listener("secure", &certificates.valid), listener("expired", &certificates.expired)];
    servers.listen(&listeners).await.unwrap();
    let [secure, expired] = listeners.map(|listener| listener.advertised);
    Listeners { secure, expired }
}

/// Gives a user of SCRAM-SHA-512 a password: one request `AlterUserScramCredentials` of Kafka's protocol, for which rdkafka has
/// no call.
pub(super) async fn set_password(broker: &str, user: &str, password: &str) {
    const ITERATIONS: u32 = 4096;
    let salt = b"salt of the tests";
    let mut request = Vec::new();
    request.extend(51_i16.to_be_bytes());
    // Version, correlation id, no client id, no tags; nobody to delete, one to write.
    request.extend([0, 0, 0, 0, 0, 7, 0xff, 0xff, 0, 1, 2]);
    let bytes = |request: &mut Vec<u8>, bytes: &[u8]| {
        request.push(u8::try_from(bytes.len() + 1).unwrap());
        request.extend(bytes);
    };
    bytes(&mut request, user.as_bytes());
    // SCRAM-SHA-512.
    request.push(2);
    request.extend(ITERATIONS.to_be_bytes());
    bytes(&mut request, salt);
    bytes(&mut request, &salted(password.as_bytes(), salt, ITERATIONS));
    request.extend([0, 0]);

    let broker: SocketAddr = broker.parse().unwrap();
    let mut connection = TcpStream::connect(broker).await.unwrap();
    connection.write_u32(u32::try_from(request.len()).unwrap()).await.unwrap();
    connection.write_all(&request).await.unwrap();
    let mut answer = vec![0; connection.read_u32().await.unwrap().try_into().unwrap()];
    connection.read_exact(&mut answer).await.unwrap();
    // Correlation id, no tags, throttle time, one result, the user, and the error code of that.
    let code = &answer[4 + 1 + 4 + 1 + 1 + user.len()..][..2];
    assert_eq!(code, [0, 0], "{answer:?}");
}

/// PBKDF2, of which 64 bytes are one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let keyed = Hmac::<Sha512>::new_from_slice(password).unwrap();
    let digest = |of: &[u8]| keyed.clone().chain_update(of).finalize().into_bytes().to_vec();
    let mut last = digest(&[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = last.clone();
    for _ in 1..iterations {
        last = digest(&last);
        sum.iter_mut().zip(&last).for_each(|(sum, last)| *sum ^= last);
    }
    sum
}
