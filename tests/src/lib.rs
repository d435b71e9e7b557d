//! What the tests on the real servers share.
//!
//! [`servers`] starts Kafka, DynamoDB Local, Postgres and OpenSearch once a test process; every test keeps to itself by a
//! [`unique`] prefix and a database of its own. A test that stops a server takes [`Private`] ones. [`Fleet`]
//! runs the real processes.

#![expect(clippy::expect_used, reason = "a test that cannot go on stops there, with the reason")]

mod broker;
pub mod faults;
mod fleet;
mod proxy;
mod refusals;
mod scratch;
mod servers;
mod traffic;

pub use aqueduct_cli::local::fleet::Program;
pub use aqueduct_cli::local::servers::Server;
pub use broker::{Listener, asked, read_below, read_topic};
pub use fleet::{Ended, Fleet, Plan, SetUp, binaries};
pub use proxy::{Network, Proxy, Weather};
pub use refusals::{Refusal, Refusing};
pub use scratch::Scratch;
pub use servers::{Private, Servers, servers};
pub use traffic::{PATIENCE, Traffic, under_traffic};

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A name that no other test has, of lower-case letters and digits: `t3f9c0a1b2`. It serves as a prefix of topics, groups,
/// tables and indexes, as a tenant, and as a database.
#[must_use]
pub fn unique() -> String {
    format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

/// Asks again until there is an answer.
///
/// # Panics
///
/// When there is none within `patience`; the message says `what` was waited for.
pub async fn eventually<T, Asked>(what: &str, patience: Duration, mut ask: impl FnMut() -> Asked) -> T
where
    Asked: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
