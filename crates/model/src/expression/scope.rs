//! What an expression can see of one item.

use std::cell::OnceCell;
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

/// One item, as expressions see it. It is converted at most once, however many expressions are evaluated, and not at
/// all for plain paths.
pub struct Scope<'a> {
    item: &'a Item,
    converted: OnceCell<Converted<'a>>,
}

struct Converted<'a> {
    context: Context<'a, 'a>,
    size: f64,
}

impl<'a> Scope<'a> {
    /// The scope of `item`.
    #[must_use]
    pub fn of(item: &'a Item) -> Scope<'a> {
        Scope { item, converted: OnceCell::new() }
    }

    /// The value at `fields`, null where a part is absent.
    pub(super) fn lookup(&self, fields: &[String]) -> Value {
        let Some((first, rest)) = fields.split_first() else {
            return Value::Object(self.item.attributes.clone());
        };
        let value =
            rest.iter().fold(self.item.attributes.get(first), |value, field| value?.get(field.as_str()));
        value.cloned().unwrap_or_default()
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
