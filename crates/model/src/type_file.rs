//! One model file: a type.

use aqueduct_contract::{EVENT_PARTITIONS, TypeName};

use crate::document::{Node, Place, parse};
use crate::problem::Report;
use crate::view::read::{Named, default_view, names, read};
use crate::{Schema, Sequence, Type, language};

/// A type with the places that other files' mistakes may name.
pub(crate) struct TypeFile {
    pub(crate) of: Type,
    pub(crate) name_place: Place,
    pub(crate) names: Vec<Named>,
}

/// Reads a file. `None` when something is wrong with it, which `report` then has.
pub(crate) fn type_file(bytes: &[u8], report: &mut Report) -> Option<TypeFile> {
    let file = match parse(bytes) {
        Ok(file) => file,
        Err((place, message)) => {
            report.add(place, message);
            return None;
        }
    };
    let form = language::check(&file, report);
    let schema = file.get("schema").and_then(|node| schema(node, form.schema, report));
    let sequence = file.get("id").and_then(|id| Sequence::read(id.get("sequence")?, report));
    let name_node = file.get("type")?;
    // An invalid name was reported by the language; what it names can still be looked at.
    let name = name_node.text().and_then(|text| text.parse().ok()).or_else(|| "UNNAMED".parse().ok())?;
    let (views, names) = views(&file, &name, name_node.place, schema.as_ref(), report);
    let whole = |key: &str| file.get(key).and_then(Node::whole);
    let of = Type {
        name,
        schema: schema?,
        sequence,
        views,
        schema_version: whole("schemaVersion").and_then(|number| number.try_into().ok()).unwrap_or(1),
        partitions: whole("partitions").and_then(|number| number.try_into().ok()).unwrap_or(EVENT_PARTITIONS),
    };
    report.is_empty().then_some(TypeFile { of, name_place: name_node.place, names })
}

/// Compiles the schema. One that has not the form is looked at for other mistakes only.
fn schema(node: &Node, has_form: bool, report: &mut Report) -> Option<Schema> {
    let json = node.json();
    let mistakes = Schema::mistakes(&json);
    let compiled = if has_form && mistakes.is_empty() { Schema::compile(json) } else { Err(mistakes) };
    compiled
        .map_err(|findings| {
            for finding in findings {
                report.suggest(node.place_at(&finding.pointer), finding.message, finding.suggestion);
            }
        })
        .ok()
}

fn views(
    file: &Node,
    name: &TypeName,
    name_place: Place,
    schema: Option<&Schema>,
    report: &mut Report,
) -> (Vec<crate::View>, Vec<Named>) {
    match file.get("views") {
        Some(views) => (read(views, name, schema, report), names(views)),
        None => {
            let view = default_view(name, name_place, report);
            let named = Named { name: view.name.clone(), place: name_place, is_child: false };
            (vec![view], vec![named])
        }
    }
}
