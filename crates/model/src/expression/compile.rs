//! From source to a syntax tree that is safe to walk.

use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use cel::{IdedExpr, ParseErrors};

use super::Root;
use super::scope::{ELEMENT, ENVIRONMENT};
use crate::problem::Mistake;

/// Bytes of source. The language's schema has the same limit for files.
const SOURCE_LIMIT: usize = 4000;

/// Levels of a syntax tree: evaluating one takes about 25 KiB of stack a level in a debug build, and the smallest
/// stacks that evaluate have 2 MiB.
const DEPTH_LIMIT: usize = 32;

/// Parses `source`. Needs a large stack.
pub(super) fn parse(source: &str) -> Result<IdedExpr, Vec<Mistake>> {
    if source.len() > SOURCE_LIMIT {
        return Err(vec![format!("it is longer than {SOURCE_LIMIT} bytes").into()]);
    }
    let program = ENVIRONMENT.parser().parse(source).map_err(|errors| mistakes(&errors))?;
    if depth(&program) > DEPTH_LIMIT { Err(vec!["it is nested too deeply".into()]) } else { Ok(program) }
}

fn mistakes(errors: &ParseErrors) -> Vec<Mistake> {
    let mut found: Vec<Mistake> = Vec::new();
    // What it calls incomplete it has complained of already, in better words.
    for error in errors.errors.iter().filter(|error| !error.msg.starts_with("Incomplete")) {
        let message = in_plain_words(&error.msg);
        let (line, column) = error.pos;
        let message = if message.contains("Recursion limit") {
            "it is nested too deeply".to_owned()
        } else if line > 1 {
            format!("not CEL, in line {line} of it, at character {column}: {message}")
        } else {
            format!("not CEL, at character {column}: {message}")
        };
        if !found.iter().any(|earlier| earlier.message == message) {
            found.push(message.into());
        }
    }
    if found.is_empty() { vec!["not CEL".into()] } else { found }
}

fn in_plain_words(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    // The parser lists every token it knows after this word.
    let mut message = message.split(" expecting ").next().unwrap_or(message).replace("'<EOF>'", "end");
    for words in [
        "mismatched input",
        "extraneous input",
        "no viable alternative at input",
        "token recognition error at:",
    ] {
        message = message.replace(words, "unexpected");
    }
    message
}

/// The expressions directly within one.
pub(super) fn children(expression: &Expr) -> Vec<&IdedExpr> {
    match expression {
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
        Expr::Comprehension(comprehension) => vec![
            &comprehension.iter_range,
            &comprehension.accu_init,
            &comprehension.loop_cond,
            &comprehension.loop_step,
            &comprehension.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Struct(fields) => fields.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn of_entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

fn depth(expression: &IdedExpr) -> usize {
    1 + children(&expression.expr).into_iter().map(depth).max().unwrap_or(0)
}

/// `self.a.b` or `it.a.b` as its fields.
pub(super) fn plain_path(expression: &IdedExpr) -> Option<(Root, Vec<String>)> {
    match &expression.expr {
        Expr::Ident(name) if name == "self" => Some((Root::Item, Vec::new())),
        Expr::Ident(name) if name == ELEMENT => Some((Root::Element, Vec::new())),
        Expr::Select(select) if !select.test => {
            let (root, mut path) = plain_path(&select.operand)?;
            path.push(select.field.clone());
            Some((root, path))
        }
        _ => None,
    }
}

/// The text of a string literal.
pub(super) fn text(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
