//! What a registry says: which generations of which views there are.

use std::collections::BTreeMap;

use aqueduct_contract::{ItemKey, TypeName};
use aqueduct_model::View;
use jiff::Timestamp;
use prometheus::{IntGaugeVec, Opts, Registry};

/// One generation of one view, as the registry holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The view as it was when this generation was made. Rows and documents come from this, never from the model.
    pub definition: View,
    /// 1, 2, 3 …
    pub number: u32,
    /// Where it stands between its making and its end.
    pub state: State,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What readers of the public name see.
    Live,
    /// A state that this release does not know, so not one to serve.
    Unknown,
}

impl Generation {
    /// The name of its view.
    #[must_use]
    pub fn view(&self) -> &str {
        &self.definition.name
    }

    /// Whether an item is of the type that the view shows.
    pub fn check_type(&self, key: &ItemKey) -> Result<(), ForeignItem> {
        let (expected, found) = (&self.definition.type_name, key.type_name());
        if found == expected {
            Ok(())
        } else {
            Err(ForeignItem { expected: expected.clone(), found: found.clone() })
        }
    }

    /// What its sink is called in letters, metrics and dead letters: `orders.g1`.
    #[must_use]
    pub fn sink(&self) -> String {
        format!("{}.g{}", self.view(), self.number)
    }
}

/// An item of another type than a view shows.
#[derive(Debug, thiserror::Error)]
#[error("an item of type {found} in the topic of {expected}")]
pub struct ForeignItem {
    expected: TypeName,
    found: TypeName,
}

impl State {
    /// How the registries write [`State::Live`].
    pub(crate) const LIVE: &str = "live";

    pub(crate) fn read(text: &str) -> State {
        if text == State::LIVE { State::Live } else { State::Unknown }
    }
}

/// What a worker serves, and where the model says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The live generation of each view, by view.
    pub generations: Vec<Generation>,
    /// Each view of model and registry, and whether the two differ about it.
    pub differs: BTreeMap<String, bool>,
}

impl Served {
    /// Compares what is live with what the model wants, and logs each difference. It changes nothing: a changed
    /// definition becomes a new generation by a rebuild.
    pub(crate) fn compare(generations: Vec<Generation>, wanted: &[View]) -> Served {
        let names =
            generations.iter().map(Generation::view).chain(wanted.iter().map(|view| view.name.as_str()));
        let differs = names
            .map(|name| {
                let live = generations.iter().find(|generation| generation.view() == name);
                let wants = wanted.iter().find(|view| view.name == name);
                (name.to_owned(), live.map(|generation| &generation.definition) != wants)
            })
            .collect::<BTreeMap<_, _>>();
        for (view, _) in differs.iter().filter(|(_, differs)| **differs) {
            tracing::warn!(
                view,
                "the model's definition of this view differs from the live generation's, which stays as it is; \
                 a rebuild would bring the new definition"
            );
        }
        Served { generations, differs }
    }

    /// Shows on `/metrics` which views differ: `aqueduct_view_differs`. Once a process.
    pub fn export(&self, metrics: &Registry) -> Result<(), prometheus::Error> {
        let options = Opts::new(
            "aqueduct_view_differs",
            "1 when the model says something else than the live generation",
        );
        let gauge = IntGaugeVec::new(options, &["view"])?;
        metrics.register(Box::new(gauge.clone()))?;
        for (view, differs) in &self.differs {
            gauge.with_label_values(&[view]).set((*differs).into());
        }
        Ok(())
    }
}
