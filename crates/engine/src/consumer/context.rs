//! What librdkafka's callbacks leave for the thread that polls.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::{debug, error, info, warn};

/// A rebalance that librdkafka waits for.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

#[derive(Default)]
pub(super) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

/// A panic elsewhere leaves a plain list behind, which is valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// It could not be carried out yet.
    pub(super) fn put_back(&self, rebalance: Rebalance) {
        lock(&self.rebalances).push_front(rebalance);
    }

    /// From now on partitions are let go as soon as librdkafka asks, beginning with those it asked for before: else the
    /// consumer could not be dropped.
    pub(super) fn close(&self, consumer: &BaseConsumer<Context>, draining: Option<TopicPartitionList>) {
        self.closing.store(true, Ordering::Relaxed);
        let mut waiting: VecDeque<Rebalance> = draining.map(Rebalance::Revoke).into_iter().collect();
        waiting.append(&mut lock(&self.rebalances));
        for rebalance in waiting {
            match rebalance {
                Rebalance::Assign(list) => assign(consumer, &list),
                Rebalance::Revoke(list) => unassign(consumer, &list),
            }
        }
    }
}

/// Answers librdkafka's assign.
pub(super) fn assign(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
    let done = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    };
    if let Err(error) = done {
        // The group has moved on; it will assign anew.
        error!(%error, partitions = ?list, "an assignment was refused");
    }
}

/// Answers librdkafka's revoke.
pub(super) fn unassign(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
    let done = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    };
    if let Err(error) = done {
        error!(%error, partitions = ?list, "an unassignment was refused");
    }
}

impl ConsumerContext for Context {
    /// Takes note. The default would assign here and now, with the pre and post hooks around it.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Context>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            if assigned { assign(consumer, list) } else { unassign(consumer, list) }
        } else {
            // The list is librdkafka's and gone after this call.
            let list = list.clone();
            let rebalance = if assigned { Rebalance::Assign(list) } else { Rebalance::Revoke(list) };
            lock(&self.rebalances).push_back(rebalance);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => error!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Warning => warn!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Debug => debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        warn!(%error, "librdkafka: {reason}");
    }
}
