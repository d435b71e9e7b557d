//! What an expression can see of one item.

use std::cell::{Cell, OnceCell};
use std::sync::{Arc, LazyLock};

use aqueduct_contract::Item;
use cel::common::types::{CelInt, CelNull, CelString, CelTimestamp};
use cel::common::value::Val;
use cel::{Context, Env};
use jiff::Timestamp;
use serde_json::Value;

use super::{convert, cost};

/// The functions of CEL, declared once: it takes tens of microseconds, an expression two.
pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The names that an expression can start from.
pub(super) const ROOTS: [&str; 8] =
    ["self", "id", "tenant", "version", "createdAt", "updatedAt", "createdBy", "updatedBy"];

/// What an expression of a child table calls the element that it is evaluated for.
pub(super) const ELEMENT: &str = "it";

/// One item, as expressions see it. It is converted at most once, however many expressions are evaluated, and not at
/// all for plain paths.
pub struct Scope<'a> {
    item: &'a Item,
    converted: OnceCell<Converted<'a>>,
    /// What was evaluated for its elements, in the units of [`cost`].
    spent: Cell<f64>,
}

struct Converted<'a> {
    context: Context<'a, 'a>,
    size: f64,
}

impl<'a> Scope<'a> {
    /// The scope of `item`.
    #[must_use]
    pub fn of(item: &'a Item) -> Scope<'a> {
        Scope { item, converted: OnceCell::new(), spent: Cell::new(0.0) }
    }

    /// The value at `fields`, null where a part is absent.
    pub(super) fn lookup(&self, fields: &[String]) -> Value {
        let Some((first, rest)) = fields.split_first() else {
            return Value::Object(self.item.attributes.clone());
        };
        self.item.attributes.get(first).map(|value| walk(value, rest)).unwrap_or_default()
    }

    /// Adds to what was spent on elements.
    pub(super) fn spend(&self, cost: f64) -> f64 {
        self.spent.set(self.spent.get() + cost);
        self.spent.get()
    }

    pub(super) fn context(&self) -> &Context<'a, 'a> {
        &self.converted().context
    }

    /// How large the item is, in the units of [`cost`].
    pub(super) fn size(&self) -> f64 {
        self.converted().size
    }

    fn converted(&self) -> &Converted<'a> {
        self.converted.get_or_init(|| {
            let item = self.item;
            let version = Box::new(CelInt::from(item.version.as_i64()));
            let variables: [(&str, Box<dyn Val + 'a>); 8] = [
                ("self", convert::object(&item.attributes)),
                ("id", text(item.key.id().as_str())),
                ("tenant", text(item.key.tenant().as_str())),
                ("version", version),
                ("createdAt", time(item.created_at)),
                ("updatedAt", time(item.updated_at)),
                ("createdBy", text(&item.created_by)),
                ("updatedBy", text(&item.updated_by)),
            ];
            let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
            for (name, value) in variables {
                context.add_variable_as_val(name, value);
            }
            Converted { context, size: item.attributes.iter().map(cost::field_size).sum() }
        })
    }
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("item", self.item).finish_non_exhaustive()
    }
}

/// One element of a list that an item gives, as expressions of a child table see it.
pub struct Element<'s, 'a> {
    scope: &'s Scope<'a>,
    value: &'s Value,
    context: OnceCell<Context<'s, 's>>,
}

impl<'s, 'a> Element<'s, 'a> {
    /// An element of the item that `scope` is of.
    #[must_use]
    pub fn of(scope: &'s Scope<'a>, value: &'s Value) -> Element<'s, 'a> {
        Element { scope, value, context: OnceCell::new() }
    }

    pub(super) fn scope(&self) -> &'s Scope<'a> {
        self.scope
    }

    pub(super) fn lookup(&self, fields: &[String]) -> Value {
        walk(self.value, fields)
    }

    pub(super) fn size(&self) -> f64 {
        cost::size(self.value)
    }

    pub(super) fn context(&self) -> &Context<'s, 's> {
        self.context.get_or_init(|| {
            let mut context = self.scope.context().new_inner_scope();
            context.add_variable_as_val(ELEMENT, convert::from_json(self.value));
            context
        })
    }
}

impl std::fmt::Debug for Element<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Element").field("value", self.value).finish_non_exhaustive()
    }
}

/// The value at `fields`, null where a part is absent.
fn walk(value: &Value, fields: &[String]) -> Value {
    let found = fields.iter().try_fold(value, |value, field| value.get(field.as_str()));
    found.cloned().unwrap_or_default()
}

fn text<'a>(text: &'a str) -> Box<dyn Val + 'a> {
    Box::new(CelString::from(text))
}

fn time<'a>(time: Timestamp) -> Box<dyn Val + 'a> {
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap_or_default();
    match chrono::DateTime::from_timestamp(time.as_second(), nanoseconds) {
        Some(time) => Box::new(CelTimestamp::from(time.fixed_offset())),
        // Every time of jiff's is one of chrono's.
        None => Box::new(CelNull),
    }
}
