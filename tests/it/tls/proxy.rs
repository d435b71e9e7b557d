//! What stands before OpenSearch in production: it ends TLS and lets in who has the password or a signature.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::certificates::{Certificate, HOST};

/// Says whether a request may pass: its method, its path and query, its headers and its body.
pub(super) type Guard = Box<dyn Fn(&Asked) -> bool + Send + Sync>;

/// A request as it came.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path_and_query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(super) struct Proxy {
    /// Where it listens, as `https://localhost:port`.
    pub(super) url: String,
    gate: Arc<Gate>,
}

struct Gate {
    guard: Mutex<Guard>,
    /// The status of an answer to whom the guard does not let pass.
    refusal: StatusCode,
    behind: String,
    http: reqwest::Client,
}

impl Proxy {
    /// A proxy before the server at `behind`.
    pub(super) async fn start(
        certificate: &Certificate,
        behind: &str,
        refusal: StatusCode,
        guard: Guard,
    ) -> Proxy {
        let chain =
            CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{HOST}:{}", listener.local_addr().unwrap().port());
        let gate = Arc::new(Gate {
            guard: Mutex::new(guard),
            refusal,
            behind: behind.to_owned(),
            http: reqwest::Client::new(),
        });
        let listener = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let router = Router::new().fallback(pass).with_state(gate.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Proxy { url, gate }
    }

    /// From now on this one decides.
    pub(super) fn guard(&self, guard: Guard) {
        *self.gate.guard.lock().unwrap_or_else(PoisonError::into_inner) = guard;
    }
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path_and_query = parts.uri.path_and_query().unwrap().to_string();
    let asked = Asked { method: parts.method.to_string(), path_and_query, headers: parts.headers, body };
    if !(gate.guard.lock().unwrap_or_else(PoisonError::into_inner))(&asked) {
        return (gate.refusal, "Unauthorized").into_response();
    }
    let mut request = gate.http.request(parts.method, format!("{}{}", gate.behind, asked.path_and_query));
    for name in ["content-type", "content-encoding"] {
        if let Some(value) = asked.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.body(asked.body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = (status, answer.bytes().await.unwrap()).into_response();
    if let Some(content_type) = headers.get("content-type") {
        response.headers_mut().insert("content-type", content_type.clone());
    }
    response
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // A client that does not trust the certificate hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
