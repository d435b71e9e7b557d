//! The consumer group that keeps the `data` table: one for all types, because they share the table and its limits.

use aqueduct_contract::{Names, Worker};
use aqueduct_engine::Group;
use aqueduct_model::Model;

/// The group `data` over the events of every type of `model`.
#[must_use]
pub fn data_group(names: &Names, model: &Model) -> Group {
    Group {
        id: names.data_group(),
        worker: Worker::Projector,
        sink: "data".to_owned(),
        topics: model.types().map(|of| names.events_topic(&of.name)).collect(),
    }
}
