//! The address that clients reach, and which addresses it may be.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// An address that others than this machine may reach, while nobody is asked who they are.
#[derive(Debug, thiserror::Error)]
#[error(
    "api.listen = {0} can be reached from other machines, and command-api has no authentication: anyone could read and \
     write every tenant. Listen on 127.0.0.1 or [::1], and let a proxy on the same host authenticate clients"
)]
pub struct Exposed(SocketAddr);

/// Refuses addresses that are not loopback.
pub fn require_loopback(listen: SocketAddr) -> Result<(), Exposed> {
    if listen.ip().is_loopback() { Ok(()) } else { Err(Exposed(listen)) }
}

/// Takes the address; with port 0 the returned one says which.
pub async fn bind(listen: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::require_loopback;

    #[test]
    fn only_loopback_is_served_without_authentication() {
        for local in ["127.0.0.1:8080", "127.0.0.53:0", "[::1]:8080"] {
            assert!(require_loopback(local.parse().unwrap()).is_ok(), "{local}");
        }
        for public in
            ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080", "192.168.1.2:1", "[::ffff:127.0.0.1]:8080"]
        {
            assert!(require_loopback(public.parse().unwrap()).is_err(), "{public}");
        }
    }
}
