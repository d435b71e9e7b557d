//! Credentials for requests that are signed for Amazon OpenSearch Service.
//!
//! The client asks for credentials at every request, and the default chain would go to the network for each: to the
//! metadata service of the machine, or to STS. So they are kept until shortly before they expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error, future};
use tokio::sync::Mutex;

/// AWS makes new credentials available minutes before the old ones expire.
const EARLY: Duration = Duration::from_secs(60);

/// Signatures for `region`, with credentials from where AWS clients look for them.
pub(super) fn credentials(region: &str) -> opensearch::auth::Credentials {
    let region = Region::new(region.to_owned());
    let kept = Kept { region: region.clone(), state: Arc::default() };
    opensearch::auth::Credentials::AwsSigV4(SharedCredentialsProvider::new(kept), region)
}

#[derive(Debug)]
struct Kept {
    region: Region,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Made with the first request: making it reads files.
    chain: Option<DefaultCredentialsChain>,
    credentials: Option<Credentials>,
}

impl Kept {
    async fn provide(&self) -> Result<Credentials, error::CredentialsError> {
        // Whoever comes while new ones are fetched waits for these.
        let mut state = self.state.lock().await;
        let lasts = |kept: &&Credentials| kept.expiry().is_none_or(|end| SystemTime::now() + EARLY < end);
        if let Some(kept) = state.credentials.as_ref().filter(lasts) {
            return Ok(kept.clone());
        }
        let chain = match state.chain.take() {
            Some(chain) => chain,
            None => DefaultCredentialsChain::builder().region(self.region.clone()).build().await,
        };
        let provided = chain.provide_credentials().await;
        state.chain = Some(chain);
        let credentials = provided?;
        state.credentials = Some(credentials.clone());
        Ok(credentials)
    }
}

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
