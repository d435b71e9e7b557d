//! What a JSON Schema finds wrong, in words for people: of an item's attributes, and of a model file.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use crate::spelling::nearest;

/// Longer values are cut in messages.
const SHOWN: usize = 60;

/// One thing that is wrong.
pub(crate) struct Finding {
    /// JSON pointer to the value, also to one that is missing.
    pub(crate) pointer: String,
    pub(crate) keyword: String,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// What `error` says about a value that does not meet `schema`: one finding a field.
pub(crate) fn findings(schema: &Value, error: &ValidationError<'_>) -> Vec<Finding> {
    let at = error.instance_path().as_str();
    let finding = |pointer: String, message: String, suggestion: Option<String>| Finding {
        pointer,
        keyword: match error.kind() {
            ValidationErrorKind::FalseSchema if closes_object(error) => "additionalProperties".to_owned(),
            kind => kind.keyword().to_owned(),
        },
        message,
        suggestion,
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = known_fields(schema, error);
            let unknown = |field: &String| {
                let suggestion = nearest(field, known.iter().copied());
                finding(below(at, field), format!("unknown field `{}`", shortened(field)), suggestion)
            };
            unexpected.iter().map(unknown).collect()
        }
        ValidationErrorKind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            vec![finding(below(at, field), format!("`{field}` is required"), None)]
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
            let written = error.instance().as_str().unwrap_or_default();
            let suggestion = nearest(written, options.iter().filter_map(|option| option.as_str()));
            let listed: Vec<String> = options.iter().map(|option| shown(option)).collect();
            let message = format!("{} is not one of {}", shown(error.instance()), listed.join(", "));
            vec![finding(at.to_owned(), message, suggestion)]
        }
        ValidationErrorKind::PropertyNames { error: inner } => {
            let field = inner.instance().as_str().unwrap_or_default();
            vec![finding(below(at, field), format!("the name {}", message(schema, inner)), None)]
        }
        _ => vec![finding(at.to_owned(), message(schema, error), None)],
    }
}

/// JSON pointer of a field of what `pointer` names.
pub(crate) fn below(pointer: &str, field: &str) -> String {
    format!("{pointer}/{}", field.replace('~', "~0").replace('/', "~1"))
}

fn message(schema: &Value, error: &ValidationError<'_>) -> String {
    let value = || shown(error.instance());
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let instance = error.instance().as_ref();
            let given = match JsonType::from(instance) {
                given @ (JsonType::Array | JsonType::Object) => type_word(given).to_owned(),
                _ => shown(instance),
            };
            format!("must be {}, not {given}", type_words(kind))
        }
        ValidationErrorKind::Constant { expected_value } => format!("must be {}", shown(expected_value)),
        ValidationErrorKind::Format { format } if format == "decimal" => {
            format!("{} is not a decimal: digits in quotes, such as \"12.50\"", value())
        }
        ValidationErrorKind::Format { format } => format!("{} is not a valid {format}", value()),
        ValidationErrorKind::Pattern { pattern } => match pattern_words(schema, error) {
            Some(words) => format!("{} is not valid: {words}", value()),
            None => format!("{} does not match the pattern {pattern}", value()),
        },
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be greater than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        ValidationErrorKind::MinLength { limit } => {
            format!("must have at least {}", count(*limit, "character"))
        }
        ValidationErrorKind::MaxLength { limit } => {
            format!("must have at most {}", count(*limit, "character"))
        }
        ValidationErrorKind::MinItems { limit } => format!("must have at least {}", count(*limit, "item")),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {}", count(*limit, "item")),
        ValidationErrorKind::MinProperties { limit } => {
            format!("must have at least {}", count(*limit, "field"))
        }
        ValidationErrorKind::MaxProperties { limit } => {
            format!("must have at most {}", count(*limit, "field"))
        }
        ValidationErrorKind::UniqueItems => "has the same item twice".to_owned(),
        ValidationErrorKind::AdditionalItems { .. } | ValidationErrorKind::UnevaluatedItems { .. } => {
            "has more items than the schema allows".to_owned()
        }
        ValidationErrorKind::Contains => "has no item that meets `contains`".to_owned(),
        ValidationErrorKind::FalseSchema
            if error.schema_path().as_str().ends_with("/additionalProperties") =>
        {
            "must have no fields".to_owned()
        }
        ValidationErrorKind::FalseSchema => "is not allowed here".to_owned(),
        ValidationErrorKind::Not { .. } => "is what the schema excludes by `not`".to_owned(),
        ValidationErrorKind::AnyOf { .. } => "meets none of the schemas of `anyOf`".to_owned(),
        ValidationErrorKind::OneOfNotValid { .. } => "meets none of the schemas of `oneOf`".to_owned(),
        ValidationErrorKind::OneOfMultipleValid { .. } => "meets more than one schema of `oneOf`".to_owned(),
        ValidationErrorKind::Custom { message, .. } => message.clone(),
        _ => shortened(&error.to_string()),
    }
}

/// Whether it is said of an object that its schema, which has no `properties`, allows no fields.
fn closes_object(error: &ValidationError<'_>) -> bool {
    error.schema_path().as_str().ends_with("/additionalProperties")
}

/// The fields that the object schema which refused one does know.
fn known_fields<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Vec<&'s str> {
    let object = keyword_parent(schema, error).and_then(|parent| parent.get("properties"));
    object.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// What the schema says a pattern means (`patternErrorMessage`, known from editors).
fn pattern_words<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Option<&'s str> {
    keyword_parent(schema, error)?.get("patternErrorMessage")?.as_str()
}

fn keyword_parent<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Option<&'s Value> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(parent)
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn type_words(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(single) => type_word(*single).to_owned(),
        TypeKind::Multiple(several) => several.iter().map(type_word).collect::<Vec<_>>().join(" or "),
    }
}

fn type_word(of: JsonType) -> &'static str {
    match of {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain("…".chars()).collect()
    }
}
