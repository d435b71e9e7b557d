//! Whether a process is alive and ready, as its parts say.
//!
//! A part registers a check: a look at state it keeps anyway, never a call to a server, because a probe must answer while
//! a server hangs. Live means that a restart would not help; ready means that it does its work now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of one process. Clones share them.
#[derive(Clone, Default)]
pub struct Health {
    live: Checks,
    ready: Checks,
}

/// What one probe answers.
pub(crate) struct Report {
    pub(crate) passed: bool,
    pub(crate) body: Value,
}

impl Health {
    /// Registers, or replaces, a check that fails when only a restart can help. The error says why.
    pub fn live(
        &self,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.live.set(name.into(), Arc::new(check));
    }

    /// Registers, or replaces, a check that fails while the process cannot do its work. The error says why.
    pub fn ready(
        &self,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.ready.set(name.into(), Arc::new(check));
    }

    /// Removes both checks of a part that is no more.
    pub fn forget(&self, name: &str) {
        self.live.forget(name);
        self.ready.forget(name);
    }

    pub(crate) fn liveness(&self) -> Report {
        self.live.report()
    }

    pub(crate) fn readiness(&self) -> Report {
        self.ready.report()
    }
}

#[derive(Clone, Default)]
struct Checks(Arc<Mutex<BTreeMap<String, Check>>>);

impl Checks {
    fn set(&self, name: String, check: Check) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, check);
    }

    fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn report(&self) -> Report {
        // A copy, so that no check runs under the lock.
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut passed = true;
        let mut answers = serde_json::Map::new();
        for (name, check) in checks {
            let answer = match check() {
                Ok(()) => json!({ "ok": true }),
                Err(why) => {
                    passed = false;
                    json!({ "ok": false, "why": why })
                }
            };
            answers.insert(name, answer);
        }
        Report { passed, body: json!({ "ok": passed, "checks": answers }) }
    }
}
