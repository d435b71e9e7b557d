//! Which letters are meant.

use anyhow::{Result, bail};
use aqueduct_contract::{ItemKey, Names, Tenant, TypeName, Worker};
use aqueduct_service::{Misconfigured, SettingsFile};
use aqueduct_store::Letter;
use aqueduct_store::letters::State;
use jiff::Timestamp;

use crate::moment::moment;

/// All that is given has to hold.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Filter {
    #[command(flatten)]
    pub(super) file: SettingsFile,
    /// Of this worker: projector, sync-rds or sync-search
    #[arg(long)]
    worker: Option<Worker>,
    /// Of this consumer group, such as aqueduct.sync-rds.orders.g1
    #[arg(long)]
    group: Option<String>,
    /// Of items of this type, and records in its topic that are no item
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<TypeName>,
    /// Of this tenant's items
    #[arg(long)]
    tenant: Option<Tenant>,
    /// With this code, such as ExpressionFailed
    #[arg(long)]
    code: Option<String>,
    /// Of this item, as `list` shows it: acme#ORDER|ORDER#ORD-1, or @17 for the record at offset 17 that has none
    #[arg(long)]
    key: Option<String>,
    /// Filed at this moment or after: 2026-11-21T13:15:00Z, or a time ago: 2h
    #[arg(long, value_parser = moment, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Filed before this moment
    #[arg(long, value_parser = moment, value_name = "TIME")]
    until: Option<Timestamp>,
    /// In this state: open, redrive, parked or quarantined
    #[arg(long)]
    state: Option<State>,
}

impl Filter {
    pub(super) fn means(&self, names: &Names, letter: &Letter) -> bool {
        let key: Option<ItemKey> = letter.item.parse().ok();
        let of_type = |type_name: &TypeName| {
            letter.topic == names.events_topic(type_name)
                || key.as_ref().is_some_and(|key| key.type_name() == type_name)
        };
        self.worker.is_none_or(|worker| names.worker_of(&letter.group) == Some(worker))
            && self.group.as_ref().is_none_or(|group| *group == letter.group)
            && self.type_name.as_ref().is_none_or(of_type)
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| key.as_ref().is_some_and(|key| key.tenant() == tenant))
            && self.code.as_ref().is_none_or(|code| *code == letter.code)
            && self.key.as_ref().is_none_or(|key| *key == letter.item)
            && self.since.is_none_or(|since| letter.filed_at >= since)
            && self.until.is_none_or(|until| letter.filed_at < until)
            && self.state.is_none_or(|state| state == letter.state)
    }

    /// Whoever changes letters says which: all of them is said by `all`.
    pub(super) fn chosen(&self, all: bool) -> Result<()> {
        let Filter { file: _, worker, group, type_name, tenant, code, key, since, until, state } = self;
        let given = worker.is_some()
            || group.is_some()
            || type_name.is_some()
            || tenant.is_some()
            || code.is_some()
            || key.is_some()
            || since.is_some()
            || until.is_some()
            || state.is_some();
        if given == all {
            bail!(Misconfigured("say which letters are meant by filters, or --all".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        filter: Filter,
    }

    fn means(arguments: &[&str], letter: &Letter) -> bool {
        let Command { filter } = Command::parse_from([&["test"], arguments].concat());
        filter.means(&Names::new("aqueduct"), letter)
    }

    fn letter(group: &str, item: &str) -> Letter {
        Letter {
            group: group.to_owned(),
            topic: "aqueduct.order.events".to_owned(),
            partition: 3,
            offset: 17,
            item: item.to_owned(),
            version: None,
            code: "EventInvalid".to_owned(),
            message: String::new(),
            attempts: 1,
            redrives: 0,
            filed_at: "2026-11-21T13:15:00Z".parse().unwrap(),
            state: State::Open,
        }
    }

    #[test]
    fn all_filters_have_to_hold() {
        let of_item = letter("aqueduct.sync-rds.orders.g1", "acme#ORDER|ORDER#1");
        let of_none = letter("aqueduct.projector.data", "@17");
        for (arguments, expected) in [
            (&[][..], (true, true)),
            (&["--worker", "sync-rds"], (true, false)),
            (&["--group", "aqueduct.projector.data"], (false, true)),
            (&["--type", "ORDER"], (true, true)),
            (&["--type", "PRODUCT"], (false, false)),
            (&["--tenant", "acme"], (true, false)),
            (&["--tenant", "acm"], (false, false)),
            (&["--code", "EventInvalid", "--state", "open"], (true, true)),
            (&["--state", "parked"], (false, false)),
            (&["--key", "@17"], (false, true)),
            (&["--since", "2026-11-21T13:15:00Z"], (true, true)),
            (&["--until", "2026-11-21T13:15:00Z"], (false, false)),
            (&["--worker", "projector", "--key", "acme#ORDER|ORDER#1"], (false, false)),
        ] {
            assert_eq!((means(arguments, &of_item), means(arguments, &of_none)), expected, "{arguments:?}");
        }
    }

    #[test]
    fn what_changes_letters_wants_to_know_which() {
        let chosen = |arguments: &[&str], all| {
            Command::parse_from([&["test"], arguments].concat()).filter.chosen(all).is_ok()
        };
        assert!(chosen(&["--code", "x"], false) && chosen(&[], true));
        assert!(!chosen(&[], false) && !chosen(&["--code", "x"], true));
    }
}
