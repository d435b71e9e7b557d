//! What no schema can allow, because some store could not hold it.

use std::ops::Range;

use serde_json::Value;

use super::finding::{Finding, below};

/// Levels of objects and arrays in attributes. OpenSearch takes fields 20 levels deep by default, DynamoDB values 32;
/// both have levels of ours around them.
pub(crate) const DEPTH_LIMIT: usize = 16;

/// Bytes of the name of a field. OpenSearch reads names of 50,000 characters; DynamoDB would take 65,535 bytes.
const NAME_LIMIT: usize = 50_000;

/// The amounts that DynamoDB takes for a number that is not zero.
const AMOUNTS: Range<f64> = 1e-130..1e126;

/// Strings and field names with U+0000, which Postgres cannot store; fields without a name, with too long a name,
/// and numbers of amounts that DynamoDB cannot store; and values that are nested too deeply: below those nothing is looked at.
pub(crate) fn unstorable(attributes: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    visit(attributes, &At::Root, 0, &mut found);
    found
}

/// Where a value is. Written out only when something is wrong with it: this runs on every write.
enum At<'a> {
    Root,
    Item(&'a At<'a>, usize),
    Field(&'a At<'a>, &'a str),
}

impl At<'_> {
    fn pointer(&self) -> String {
        match self {
            At::Root => String::new(),
            At::Item(above, index) => format!("{}/{index}", above.pointer()),
            At::Field(above, name) => below(&above.pointer(), name),
        }
    }

    fn refuse(&self, keyword: &str, message: String) -> Finding {
        Finding { pointer: self.pointer(), keyword: keyword.to_owned(), message, suggestion: None }
    }
}

fn visit(value: &Value, at: &At<'_>, depth: usize, found: &mut Vec<Finding>) {
    match value {
        Value::String(text) if text.contains('\0') => {
            found
                .push(at.refuse("characters", "has the character U+0000, which cannot be stored".to_owned()));
        }
        Value::Number(number)
            if number.as_f64().is_some_and(|amount| amount != 0.0 && !AMOUNTS.contains(&amount.abs())) =>
        {
            found.push(at.refuse("amount", format!("is outside {:e} to {:e}", AMOUNTS.start, AMOUNTS.end)));
        }
        Value::Array(_) | Value::Object(_) if depth == DEPTH_LIMIT => {
            found.push(at.refuse("depth", format!("is nested deeper than {DEPTH_LIMIT} levels")));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &At::Item(at, index), depth + 1, found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.len() > NAME_LIMIT {
                    // Pointed at from above: nobody wants the whole of such a name back.
                    let (bytes, begins) = (name.len(), name.chars().take(40).collect::<String>());
                    let message = format!(
                        "has a field name of {bytes} bytes, {NAME_LIMIT} at most can be stored: `{begins}…`"
                    );
                    found.push(at.refuse("length", message));
                    continue;
                }
                let at = At::Field(at, name);
                if name.contains('\0') {
                    let message = "its name has the character U+0000, which cannot be stored";
                    found.push(at.refuse("characters", message.to_owned()));
                }
                if name.is_empty() {
                    found.push(
                        at.refuse("characters", "its name is empty, which cannot be stored".to_owned()),
                    );
                }
                visit(value, &at, depth + 1, found);
            }
        }
        _ => {}
    }
}
