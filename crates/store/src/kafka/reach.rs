//! Whether the brokers take this process. A client of librdkafka connects behind the scenes and goes on trying whatever
//! is wrong; what is wrong it tells a callback. At its start a process has to know it: credentials that the brokers do
//! not know are a mistake in the settings, which no waiting heals, and not an outage.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Settings;
use crate::{Error, Result};

/// How long each look for a broker takes. A refusal shows with the first; a slow cluster gets eight seconds in all.
const LOOKS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// In what librdkafka says of any certificate that it does not accept, with a hint that fits only the first of the reasons.
const CERTIFICATE: &str = "certificate verify failed";
const CERTIFICATE_HINT: &str = "The certificate is of an authority that is not in `ssl.ca.location`, or has expired, or has \
                                another name: `openssl s_client -connect` with the broker's address says which";
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl Settings {
    /// Returns once a broker has answered; one that cannot be reached, or that cannot prove who it is, is waited for, and each
    /// failure that is waited out is told to `waiting`. Fails with [`Error::Denied`] when the brokers refuse the credentials,
    /// or the properties make no client.
    pub async fn until_reached(&self, waiting: impl Fn(&Error)) -> Result<()> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.reach().await {
                Err(error) if error.is_transient() => {
                    waiting(&error);
                    tracing::warn!(%error, retry_in = ?wait, "Kafka is not reached, trying again");
                    tokio::time::sleep(wait).await;
                    wait = LONGEST_WAIT.min(wait * 2);
                }
                done => return done,
            }
        }
    }

    /// Asks the brokers for an answer once, for some seconds. Fails with [`Error::Denied`] as above.
    pub async fn reach(&self) -> Result<()> {
        let settings = self.clone();
        let look = tokio::task::spawn_blocking(move || settings.look());
        look.await.map_err(|error| Error::Unavailable(Box::new(error)))?
    }

    fn look(&self) -> Result<()> {
        let mut config = self.client_config();
        // What it has to say is the error.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let client: BaseConsumer<Heard> = config
            .create_with_context(Heard::default())
            .map_err(|error| Error::Denied(format!("kafka.properties make no client: {error}")))?;
        let mut failure = String::new();
        for patience in LOOKS {
            match client.fetch_metadata(None, patience) {
                Ok(_) => return Ok(()),
                Err(error) => failure = error.to_string(),
            }
            // Errors reach the callback with a poll.
            while client.poll(Duration::from_millis(20)).is_some() {}
            match client.context().last() {
                Some((RDKafkaErrorCode::Authentication, reason)) => {
                    let brokers = &self.brokers;
                    return Err(Error::Denied(format!(
                        "Kafka at {brokers} refuses the credentials of kafka.properties: {reason}"
                    )));
                }
                Some((_, reason)) if reason.contains(CERTIFICATE) => {
                    failure = format!("{reason}. {CERTIFICATE_HINT}");
                    break;
                }
                Some((_, reason)) => failure = reason,
                None => {}
            }
        }
        Err(Error::KafkaNotReached(format!("Kafka at {} was not reached: {failure}", self.brokers)))
    }
}

/// The last thing that librdkafka complained about in particular. That all brokers are down, which comes after, is but
/// the consequence.
#[derive(Default)]
struct Heard(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl Heard {
    fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Heard {}
