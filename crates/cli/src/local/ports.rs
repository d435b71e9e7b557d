//! Free ports on loopback.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};
use rand::RngExt;

/// Below the range from which the kernel takes ports of outgoing connections: a server that is stopped and started again
/// finds its port free, whatever connects elsewhere in between.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that nothing listens on now and that this process has not handed out before.
pub fn free() -> Result<u16> {
    static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = rand::rng().random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && handed_out.insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between {} and {}", RANGE.start, RANGE.end)
}
