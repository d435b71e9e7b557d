//! What is said of files that are not right: every mistake, its place, and what was probably meant.

use aqueduct_model::Model;

/// What loading these files says, one mistake a line.
fn said<const N: usize>(files: [(&str, &str); N]) -> String {
    Model::parse(files).map_or_else(|problems| problems.to_string(), |_| "nothing is wrong".to_owned())
}

/// The mistakes of one file.
fn of(file: &str) -> String {
    said([("order.yaml", file)])
}

/// A file that is right but for its views.
fn views(views: &str) -> String {
    of(&format!(
        r"
aqueduct: v1
type: ORDER
schema:
  type: object
  additionalProperties: false
  properties:
    customerId: {{ type: string }}
    total: {{ type: string, format: decimal }}
    placedAt: {{ type: string, format: date-time }}
    paid: {{ type: boolean }}
    items: {{ type: array, items: {{ type: object }} }}
    dates: {{ type: array, items: {{ type: string, format: date }} }}
    lines:
      type: array
      items:
        type: object
        additionalProperties: false
        properties: {{ code: {{ type: string }}, quantity: {{ type: integer }}, price: {{ type: string, format: decimal }} }}
views:
{views}"
    ))
}

/// A file that is right but for its schema.
fn schema(schema: &str) -> String {
    of(&format!("aqueduct: v1\ntype: ORDER\nschema:\n  type: object\n{schema}"))
}

macro_rules! messages {
    ($($name:ident: $said:expr;)*) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!($said);
        }
    )* };
}

messages! {
    an_empty_file: of("");
    a_list: of("- aqueduct: v1");
    not_yaml: of("aqueduct: v1\ntype: [ORDER\nschema: {}\n");
    two_documents: of("aqueduct: v1\n---\naqueduct: v1\n");
    tabs: of("aqueduct: v1\nschema:\n\ttype: object\n");
    missing_keys: of("aqueduct: v1\n");
    another_version: of("aqueduct: v2\ntype: ORDER\nschema: { type: object }\n");
    keys_that_stand_twice: of("aqueduct: v1\ntype: ORDER\ntype: OTHER\nschema: { type: object, type: object }\n");
    misspelt_and_unknown_keys: of("aqueduct: v1\ntyp: ORDER\nshema: { type: object }\ncolour: red\n");
    keys_of_later_releases: of("aqueduct: v1\ntype: ORDER\nschema: { type: object }\nrules: []\ncommands: {}\nderived: {}\n");
    a_type_in_lower_case: of("aqueduct: v1\ntype: sales-order\nschema: { type: object }\n");
    values_of_another_type: of("aqueduct: v1\ntype: 7\nschema: object\nschemaVersion: one\npartitions: 0\nid: seq\nviews: []\n");
    sequences: of("aqueduct: v1\ntype: ORDER\nschema: { type: object }\nid: { sequence: { format: 'ORD-{nr}', rotate: weekly, begin: 1 } }\n");
    a_schema_that_is_no_object: of("aqueduct: v1\ntype: ORDER\nschema: { type: array }\n");
    misspelt_keywords: schema("  requried: [a]\n  properties:\n    a: { type: strng }\n    b: { typ: string, formt: date }\n    c: { format: datetime }\n");
    a_schema_from_elsewhere: schema("  properties:\n    a: { $ref: 'https://example.com/a.json' }\n    b: { $ref: '#/$defs/lien' }\n  $defs: { line: {} }\n");
    limits_of_decimals: schema("  properties:\n    a: { type: string, format: decimal, exclusiveMinimum: 0 }\n    b: { type: string, formatMinimum: '1' }\n    c: { type: string, format: decimal, formatMaximum: 5 }\n");
    a_limit_without_its_format: schema("  properties:\n    b: { type: string, formatMinimum: '1' }\n");
    fields_that_are_required_and_not_allowed: schema("  additionalProperties: false\n  required: [customerID, items]\n  properties: { customerId: {}, items: {} }\n");
    defaults_that_are_refused: schema("  properties:\n    status: { enum: [open, closed], default: opened }\n    lines: { type: array, items: { type: integer }, default: [1, x] }\n");
    patterns: schema("  properties:\n    a: { pattern: '(' }\n    b: { pattern: '^(?!x)' }\n  patternProperties: { '(a)\\1': {} }\n");
    names_of_views_and_columns: views("  Sales-Orders: { postgres: { columns: { CustomerId: { type: text, from: self.customerId }, tenant: { type: text, from: tenant }, xmin: { type: text, from: id } } } }\n  orders__g1: { postgres: {} }\n  äöü: { opensearch: {} }\n");
    views_of_nothing: views("  orders: {}\n  more: { postgres: { columns: {} } }\n  others: { mysql: {} }\n");
    columns: views("  orders:\n    postgres:\n      columns:\n        a: { type: varchar(20), from: self.customerId }\n        b: { type: 'numeric(5,9)', from: self.total }\n        c: { from: self.customerIdd, index: yes }\n        d: { type: txt, form: self.customerId }\n        children: {}\n");
    columns_that_nothing_fills: views("  orders:\n    postgres:\n      columns:\n        a: { type: bigint, from: self.total }\n        b: { type: boolean, from: self.placedAt }\n        c: { type: date, from: self.paid }\n        d: { type: uuid, from: self.items }\n        e: { type: timestamptz, from: self.customerId }\n        f: { type: integer, from: size(self.items) }\n");
    child_tables: views("  orders:\n    postgres:\n      columns: { customer: { type: text, from: self.customerId } }\n      children:\n        customer_lines: { each: self.customerId, columns: { a: { type: text, from: it } } }\n        order_lines__g2: { each: self.itms, columns: { a: { type: text, from: it.code } } }\n        orders: { each: self.items, columns: { position: { type: text, from: it.code }, deleted: { type: text, from: it.code } } }\n        order_dates: { each: self.dates, columns: { day: { type: boolean, from: it }, b: { type: text, from: it.x }, c: { type: text, from: itt } } }\n        lines: { each: self.lines, columns: { a: { type: text, from: it.cod }, b: { type: text, from: price }, c: { type: uuid, from: it.quantity } } }\n        nothing: { columns: {} }\n        more: { of: self.items, columns: { a: { type: text, from: it, indx: true } } }\n  lines: { opensearch: { document: it } }\n");
    conditions: views("  orders:\n    where: self.customerId\n    postgres: {}\n  more:\n    where: self.paidd == true\n    opensearch: {}\n  others: { where: self.paid }\n  last: { wher: self.paid, postgres: {} }\n");
    defaults: views("  orders:\n    postgres:\n      columns:\n        a: { type: 'numeric(4,2)', from: self.total, default: '123.45' }\n        b: { type: integer, from: size(self.items), default: none }\n        c: { type: timestamptz, from: self.placedAt, default: now }\n        d: { type: text, from: self.customerId, default: null }\n        e: { type: boolean, from: self.paid, defualt: false }\n        f: { type: numeric(4), from: self.total, default: 0 }\n");
    indexes: views("  orders:\n    postgres:\n      columns:\n        customer_id: { type: text, from: self.customerId, index: true }\n        items: { type: jsonb, from: self.items }\n        search: { type: text, from: self.customerId }\n      indexes: [[custmer_id, placed_at], [customer_id], [items, updated_at], [tenant, customer_id], [], [search, search], [updated_at], [updated_at]]\n      search: { columns: [customerid, items, search], language: englsh }\n      children:\n        order_lines: { each: self.lines, columns: { code: { type: text, from: it.code } }, indexes: [[cod, position]] }\n  more:\n    postgres:\n      columns: { paid: { type: boolean, from: self.paid } }\n      search: { columns: [paid] }\n");
    analyzers: views("  orders:\n    opensearch:\n      settings: { analysis: { analyzer: { names: { tokenizer: standard } }, normalizer: { folded: { filter: [lowercase] } } } }\n      mappings:\n        properties:\n          a: { type: text, analyzer: nmes, search_analyzer: names, fields: { b: { type: keyword, normalizer: foldd } } }\n          c: { properties: { d: { type: text, analyzer: englsh }, e: { type: text, analyzer: icu_analyzer }, f: { type: keyword, normalizer: lowercase } } }\n      routing: customer\n  more: { opensearch: { settings: { number_of_shards: 3 } } }\n  others: { opensearch: { settings: { analysis: { analysers: {} } }, mappings: { properties: { a: { type: text, analyzer: mine } } } } }\n");
    expressions: views("  orders:\n    postgres:\n      columns:\n        a: { type: text, from: self.customerIdd }\n        b: { type: text, from: customerId }\n        c: { type: text, from: \"upper(self.customerId)\" }\n        d: { type: text, from: 'self.total +' }\n        e: { type: text, from: 'lower(selff.total) + tenat' }\n");
    documents: views("  orders:\n    opensearch:\n      document: self.customerId\n      mappings: { propertys: {}, dynamic: maybe }\n  more: { opensearch: { document: '{1: 2}', children: {} } }\n");
    two_files_of_one_type: said([
        ("a.yaml", "aqueduct: v1\ntype: ORDER\nschema: { type: object }\nviews: { orders: { postgres: {} } }\n"),
        ("b.yaml", "aqueduct: v1\ntype: ORDER\nschema: { type: object }\nviews: { orders: { postgres: {} } }\n"),
        ("c.yaml", "aqueduct: v1\ntype: ORDERS\nschema: { type: object }\n"),
    ]);
    a_child_table_named_like_another: said([
        ("a.yaml", "aqueduct: v1\ntype: ORDER\nschema: { type: object }\nviews: { orders: { postgres: { children: { lines: { each: self.items, columns: { a: { type: text, from: it } } } } } }, more: { postgres: { children: { lines: { each: self.items, columns: { a: { type: text, from: it } } } } } } }\n"),
        ("b.yaml", "aqueduct: v1\ntype: LINES\nschema: { type: object }\n"),
        ("c.yaml", "aqueduct: v1\ntype: OTHER\nschema: { type: object }\nviews: { other: { postgres: { children: { orders: { each: self.items, columns: { a: { type: text, from: it } } } } } } }\n"),
    ]);
    mistakes_of_several_files: said([
        ("b.yaml", "aqueduct: v1\ntype: ORDER\nscheme: { type: object }\n"),
        ("a.yaml", "aqueduct: v3\n"),
    ]);
}

#[test]
fn a_default_view_needs_a_name_that_fits() {
    let type_name = "A".repeat(49);
    insta::assert_snapshot!(of(&format!("aqueduct: v1\ntype: {type_name}\nschema: {{ type: object }}\n")));
}
