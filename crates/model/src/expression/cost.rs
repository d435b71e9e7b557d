//! An upper bound of what evaluating costs, known before it is done.
//!
//! CEL has no loops but those over a list, and no way to build on the result of the round before but to append to it.
//! So work and size of a result are bounded by polynomials of the item's size, and this computes them from the syntax
//! tree. The interpreter has no limit of its own; with two loops within each other, an item of a few hundred kilobytes
//! could otherwise hold up its partition for hours.

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr};
use serde_json::Value;

use super::compile::children;
use super::scope::ELEMENT;

/// About a second of work.
pub(super) const LIMIT: f64 = 10_000_000.0;

/// Bytes of text that count as one.
const TEXT_UNIT: usize = 64;

/// The size of a field: one for each value within it, more for long texts.
pub(super) fn field_size((name, value): (&String, &Value)) -> f64 {
    text_size(name) + size(value)
}

pub(super) fn size(value: &Value) -> f64 {
    match value {
        Value::String(text) => text_size(text),
        Value::Array(items) => 1.0 + items.iter().map(size).sum::<f64>(),
        Value::Object(fields) => 1.0 + fields.iter().map(field_size).sum::<f64>(),
        _ => 1.0,
    }
}

fn text_size(text: &str) -> f64 {
    let units = u32::try_from(text.len() / TEXT_UNIT).unwrap_or(u32::MAX);
    1.0 + f64::from(units)
}

/// The cost of `program` for an item of that size and, where there is one, an element of it.
pub(super) fn of(program: &IdedExpr, item: f64, element: f64) -> f64 {
    bound(program, &Sizes { item, variables: vec![(ELEMENT, element)] }).work
}

struct Sizes<'e> {
    item: f64,
    variables: Vec<(&'e str, f64)>,
}

#[derive(Clone, Copy)]
struct Bound {
    work: f64,
    size: f64,
}

fn bound<'e>(expression: &'e IdedExpr, sizes: &Sizes<'e>) -> Bound {
    match &expression.expr {
        Expr::Ident(name) => Bound { work: 1.0, size: sizes.of(name) },
        Expr::Comprehension(comprehension) => looped(comprehension, sizes),
        Expr::Literal(_) | Expr::Unspecified => Bound { work: 1.0, size: 1.0 },
        Expr::Select(select) => {
            let operand = bound(&select.operand, sizes);
            Bound { work: operand.work + 1.0, size: operand.size }
        }
        // A result is no larger than what it is made of, and made by copying that.
        other => {
            let parts = children(other).into_iter().map(|child| bound(child, sizes));
            let sum = parts.fold(Bound { work: 1.0, size: 1.0 }, |sum, part| Bound {
                work: sum.work + part.work,
                size: sum.size + part.size,
            });
            Bound { work: sum.work + sum.size, size: sum.size }
        }
    }
}

/// The rounds of a loop share the size of what is looped over. A bound that grows faster than linearly is largest when
/// one element has all of it, so it is taken once for that and once for each element of size one.
fn looped<'e>(comprehension: &'e ComprehensionExpr, sizes: &Sizes<'e>) -> Bound {
    let range = bound(&comprehension.iter_range, sizes);
    let round = |element: f64| {
        let mut within = sizes.with(&comprehension.iter_var, element);
        if let Some(second) = &comprehension.iter_var2 {
            within.variables.push((second, element));
        }
        // What the rounds before have gathered is appended to, not read.
        within.variables.push((&comprehension.accu_var, 0.0));
        let step = bound(&comprehension.loop_step, &within);
        let condition = bound(&comprehension.loop_cond, &within);
        Bound { work: step.work + condition.work, size: step.size }
    };
    let (small, large) = (round(1.0), round(range.size));
    Bound {
        work: range.work + range.size * small.work + large.work,
        size: range.size * small.size + large.size,
    }
}

impl<'e> Sizes<'e> {
    fn of(&self, name: &str) -> f64 {
        let found = self.variables.iter().rev().find(|(variable, _)| *variable == name);
        found.map_or(if name == "self" { self.item } else { 1.0 }, |(_, size)| *size)
    }

    fn with(&self, name: &'e str, size: f64) -> Sizes<'e> {
        let mut variables = self.variables.clone();
        variables.push((name, size));
        Sizes { item: self.item, variables }
    }
}
