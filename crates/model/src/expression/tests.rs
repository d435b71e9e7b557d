//! What expressions give, and what of them is refused.

use std::thread;
use std::time::{Duration, Instant};

use aqueduct_contract::{Item, ItemKey, Version};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{Expression, Scope};
use crate::large_stack::on_large_stack;
use crate::problem::Mistake;
use crate::schema::Schema;

fn item(attributes: Value) -> Item {
    let Value::Object(attributes) = attributes else { panic!("attributes are an object") };
    Item {
        key: ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), "ORD-000017".parse().unwrap())
            .unwrap(),
        version: Version::try_from(3_u64).unwrap(),
        attributes,
        deleted: false,
        created_at: "2026-11-21T13:15:00.123456Z".parse().unwrap(),
        created_by: "ann".to_owned(),
        updated_at: "2026-11-22T00:00:00Z".parse().unwrap(),
        updated_by: "bob".to_owned(),
    }
}

fn compile(source: &str, schema: Option<&Schema>) -> Result<Expression, Vec<Mistake>> {
    on_large_stack(|| Expression::compile(source, schema)).unwrap()
}

fn expression(source: &str) -> Expression {
    compile(source, None).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}"))
}

fn value(source: &str, attributes: Value) -> Value {
    expression(source).evaluate(&Scope::of(&item(attributes))).unwrap_or_else(|error| panic!("{error}"))
}

fn failure(source: &str, attributes: Value) -> String {
    expression(source).evaluate(&Scope::of(&item(attributes))).unwrap_err().to_string()
}

fn mistakes(source: &str, schema: &Value) -> Vec<String> {
    let schema = Schema::compile(schema.clone()).ok().unwrap();
    let mistakes = compile(source, Some(&schema)).err().unwrap_or_default();
    let said = mistakes.into_iter().map(|mistake| match mistake.suggestion {
        Some(meant) => format!("{} ({meant}?)", mistake.message),
        None => mistake.message,
    });
    said.collect()
}

#[test]
fn a_plain_path_is_a_lookup_and_null_where_a_part_is_absent() {
    let order = json!({"customer": {"name": "Ann"}, "lines": [1]});
    assert_eq!(value("self.customer.name", order.clone()), json!("Ann"));
    assert_eq!(value("self", order.clone()), order);
    for absent in
        ["self.nobody", "self.nobody.name", "self.customer.age", "self.lines.first", "self.customer.name.x"]
    {
        assert_eq!(value(absent, order.clone()), Value::Null, "{absent}");
    }
}

#[test]
fn elsewhere_what_is_absent_is_an_error_that_names_it_and_can_be_asked_for() {
    let none = json!({});
    assert_eq!(
        failure("self.customer.name + '!'", none.clone()),
        "`self.customer.name + '!'`: No such key: customer"
    );
    assert_eq!(value("has(self.customer) ? self.customer.name : 'nobody'", none.clone()), json!("nobody"));
    assert_eq!(value("self.?customer.?name.orValue('nobody')", none.clone()), json!("nobody"));
    assert_eq!(value("self.?customer.?name", none.clone()), Value::Null);
    assert_eq!(value("{'a': 1, ?'b': self.?b}", none), json!({"a": 1}));
    assert_eq!(value("{?'b': self.?b}", json!({"b": 2})), json!({"b": 2}));
}

#[test]
fn an_item_says_who_and_when_it_is() {
    let known = "{'i': id, 't': tenant, 'v': version, 'c': createdAt, 'u': updatedAt, 'cb': createdBy, 'ub': updatedBy}";
    let expected = json!({
        "i": "ORD-000017", "t": "acme", "v": 3, "c": "2026-11-21T13:15:00.123456Z", "u": "2026-11-22T00:00:00.000000Z",
        "cb": "ann", "ub": "bob",
    });
    assert_eq!(value(known, json!({})), expected);
    assert_eq!(value("createdAt.getFullYear()", json!({})), json!(2026));
    assert_eq!(value("updatedAt - createdAt < duration('24h')", json!({})), json!(true));
    assert_eq!(
        value("timestamp('2026-01-01T01:00:00+01:00')", json!({})),
        json!("2026-01-01T00:00:00.000000Z")
    );
}

#[test]
fn objects_come_out_with_sorted_keys() {
    assert_eq!(
        value("{'b': 1, 'a': {'d': 2, 'c': 3}}", json!({})).to_string(),
        r#"{"a":{"c":3,"d":2},"b":1}"#
    );
}

#[test]
fn what_json_cannot_say_is_an_error() {
    for source in ["1.0 / 0.0", "{1: 'a'}", "b'bytes'", "duration('1s')"] {
        assert!(!failure(source, json!({})).is_empty(), "{source}");
    }
}

#[test]
fn mistakes_that_are_in_the_data_are_errors_and_never_panics() {
    let data = json!({"n": i64::MAX, "s": "x", "l": [], "big": 1e308});
    for source in [
        "self.n + 1",
        "-(-self.n - 1 - 1)",
        "self.s + 1",
        "self.s * 2",
        "self.l[0]",
        "self.l[-1]",
        "self.n / 0",
        "self.n % 0",
        "self.s.matches('(')",
        "int(self.s)",
        "int(self.big)",
        "uint(-1)",
        "timestamp('x')",
        "timestamp('9999-12-31T23:59:59Z') + duration('10000h')",
        "duration('999999999999h')",
        "self.s[0]",
        "self.s ? 1 : 2",
        "self.s.getFullYear()",
        "optional.none().value()",
        "createdAt.getHours('Nowhere/At_all')",
    ] {
        let result = expression(source).evaluate(&Scope::of(&item(data.clone())));
        assert!(result.is_err(), "{source}: {result:?}");
    }
}

#[test]
fn unknown_names_and_functions_are_load_errors_with_what_was_meant() {
    let open = json!({"type": "object", "properties": {"status": {}}});
    for (source, expected) in [
        ("sel.status", "unknown name `sel` (self?)"),
        ("status", "unknown name `status` (self.status?)"),
        ("self.items.mpa(i, i.code)", "unknown function `mpa` (map?)"),
        ("sizee(self.items)", "unknown function `sizee` (size?)"),
        ("createdat", "unknown name `createdat` (createdAt?)"),
        ("tenant.name", "`tenant` has no fields"),
        ("self.items.map(line, lien.code)", "unknown name `lien` (line?)"),
        ("Order{a: 1}", "unknown type `Order`: an object is written {'a': 1}"),
        ("decimal('1.5')", "unknown function `decimal`"),
    ] {
        assert_eq!(mistakes(source, &open), [expected], "{source}");
    }
    for good in
        ["type(self.status) == string", "optional.of(1)", "self.a.all(x, x > 0)", "self.size()", "dyn(1)"]
    {
        assert!(mistakes(good, &open).is_empty(), "{good}: {:?}", mistakes(good, &open));
    }
}

#[test]
fn every_function_that_is_suggested_exists() {
    for name in super::check::FUNCTIONS {
        let macros = ["all", "exists", "exists_one", "filter", "map", "has"];
        let found = mistakes(&format!("self.{name}()"), &json!({"type": "object"}));
        let global = mistakes(&format!("{name}()"), &json!({"type": "object"}));
        assert!(
            macros.contains(&name) || found.is_empty() || global.is_empty(),
            "{name}: {found:?} {global:?}"
        );
    }
}

#[test]
fn fields_that_the_schema_rules_out_are_load_errors() {
    let order = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "customerId": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "items": {"type": "array", "items": {
                "type": "object", "additionalProperties": false, "properties": {"code": {}, "price": {}},
            }},
            "free": {"type": "object"},
        },
        "$defs": {"address": {"type": "object", "additionalProperties": false, "properties": {"city": {"type": "string"}}}},
    });
    for (source, expected) in [
        ("self.customerIdd", "the schema has no field `customerIdd` (customerId?)"),
        ("self.address.citi", "the schema has no field `citi` (city?)"),
        ("self.customerId.first", "`first` is asked of a value of type string"),
        ("has(self.adress) ? 1 : 2", "the schema has no field `adress` (address?)"),
        ("self.?adress", "the schema has no field `adress` (address?)"),
        ("self['adress']", "the schema has no field `adress` (address?)"),
        ("self.items.map(line, line.prise)", "the schema has no field `prise` (price?)"),
        ("self.items[0].prise", "the schema has no field `prise` (price?)"),
        ("self.items.filter(a, a.code == '1' && a.cods == '2')", "the schema has no field `cods` (code?)"),
    ] {
        assert_eq!(mistakes(source, &order), [expected], "{source}");
    }
    for good in ["self.free.anything.at.all", "self.items.exists(a, a.code == 'x')", "self.address.city"] {
        assert!(mistakes(good, &order).is_empty(), "{good}");
    }
}

#[test]
fn syntax_errors_are_said_with_their_place() {
    let open = json!({"type": "object"});
    let said: Vec<String> = [
        "self.",
        "self.a +",
        "(self.a",
        "self.a == 'x",
        "'a': 1",
        "self..a",
        "{'a': 1,, }",
        "a ? b",
        "self.map(1, 2)",
    ]
    .iter()
    .map(|source| format!("{source:20} {}", mistakes(source, &open).join(" | ")))
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// On a stack as small as any that evaluates: a worker thread's.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn deep_expressions_are_refused_before_they_overflow_a_stack() {
    on_a_small_stack(|| {
        let wide = |part: &str, around: (&str, &str)| {
            let times = (3900 - around.0.len()) / part.len();
            format!("{}{}{}", around.0, part.repeat(times), around.1)
        };
        for source in [
            wide(".a", ("self", "")),
            wide("+1", ("1", "")),
            wide("[0]", ("self", "")),
            wide(".size()", ("self", "")),
            wide("-", ("", "1")),
            wide("!", ("", "true")),
            wide("true?1:", ("", "1")),
            wide("(", ("", "")),
            wide("([{", ("", "")),
            format!("{}1{}", "(".repeat(1900), ")".repeat(1900)),
            format!("{}1{}", "[".repeat(1900), "]".repeat(1900)),
            format!("{}1{}", "{'a':".repeat(600), "}".repeat(600)),
            format!("{}1{}", "[1].map(x,".repeat(300), ")".repeat(300)),
            "x".repeat(4001),
        ] {
            // Some of these the parser folds into something small; what it does not is refused.
            let _ = compile(&source, None);
        }
    });
}

#[test]
fn the_deepest_expressions_that_load_can_be_evaluated() {
    on_a_small_stack(|| {
        let nested = |open: &str, close: &str| {
            let deepest = (1..40).map(|n| format!("{}1{}", open.repeat(n), close.repeat(n)));
            deepest.filter_map(|source| compile(&source, None).ok()).next_back().unwrap()
        };
        let item = item(json!({}));
        for (open, close) in [
            ("[", "]"),
            ("{'a':", "}"),
            ("1+(", ")"),
            ("[1].map(x,", ")"),
            ("true ? ", " : 2"),
            ("[1].all(x, 1 ==", ")"),
        ] {
            let _ = nested(open, close).evaluate(&Scope::of(&item));
        }
    });
}

#[test]
fn work_is_bounded_by_what_the_item_is_and_not_by_what_it_could_be() {
    let lines: Vec<Value> = (0..20_000).map(|n| json!({"code": n.to_string(), "quantity": n})).collect();
    let large = item(json!({"items": lines}));
    let started = Instant::now();
    let scope = Scope::of(&large);
    assert!(expression("self.items.map(i, i.code)").evaluate(&scope).is_ok());
    assert!(expression("self.items.filter(i, i.quantity > 10).size()").evaluate(&scope).is_ok());
    for greedy in [
        "self.items.map(a, self.items.map(b, self.items.map(c, 1)))",
        "self.items.map(a, self.items)",
        "self.items.all(a, self.items.exists(b, a.code == b.code))",
    ] {
        let error = expression(greedy).evaluate(&scope).unwrap_err();
        assert_eq!(error.message, "too much work for an item of this size", "{greedy}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let small = item(json!({"items": [{"code": "a"}, {"code": "b"}]}));
    let twice = "self.items.all(a, self.items.exists_one(b, a.code == b.code))";
    assert_eq!(expression(twice).evaluate(&Scope::of(&small)).unwrap(), json!(true));
}

#[test]
fn an_expression_is_its_source_in_json() {
    let json = json!("self.a");
    let read: Expression = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::json!(read), json);
    let error = serde_json::from_value::<Expression>(json!("selff.a")).unwrap_err().to_string();
    assert_eq!(error, "`selff.a`: unknown name `selff`");
}

/// JSON of every kind, numbers at the edges of 64 bits among them.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let fields = proptest::collection::btree_map(any::<String>(), inner.clone(), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_goes_through_cel_unchanged(value in values()) {
        let through = expression("[self][0]").evaluate(&Scope::of(&item(json!({"v": value.clone()})))).unwrap();
        prop_assert_eq!(through, json!({"v": value}));
    }

    #[test]
    fn any_text_compiles_or_is_refused(source in "\\PC{0,60}") {
        let _ = compile(&source, None);
    }

    #[test]
    fn anything_that_looks_like_cel_is_evaluated_or_refused(
        tokens in proptest::collection::vec(proptest::sample::select(TOKENS.to_vec()), 1..12), value in values(),
    ) {
        if let Ok(expression) = compile(&tokens.concat(), None) {
            let _ = expression.evaluate(&Scope::of(&item(json!({"a": value}))));
        }
    }
}

const TOKENS: [&str; 40] = [
    "self",
    ".a",
    ".b",
    "id",
    "version",
    "createdAt",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "<",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'x'",
    "1",
    "0",
    "1u",
    "2.5",
    "null",
    "true",
    ",",
    " in ",
    ".map(x, x)",
    ".all(x, x == 1)",
    "size(",
    "int(",
    "string(",
    "has(self.a)",
    ".?a",
];
