//! Names and functions that an expression uses and nothing defines, and fields that the schema rules out.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};
use cel::{Context, ExecutionError, Value};

use super::compile::{children, text};
use super::scope::{ELEMENT, ENVIRONMENT, ROOTS};
use crate::problem::Mistake;
use crate::schema::{Field, Schema, Shape};
use crate::spelling::nearest;

/// For suggestions; whether a function exists is asked of the interpreter.
pub(super) const FUNCTIONS: [&str; 36] = [
    "all",
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "has",
    "hasValue",
    "int",
    "map",
    "matches",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
    "value",
    "optional.of",
];

/// Every mistake in `program`.
pub(super) fn mistakes(program: &IdedExpr, schema: Option<&Schema>) -> Vec<Mistake> {
    found(program, schema, Vec::new())
}

/// The same where `it` is an element of which so much is known.
pub(super) fn mistakes_for_elements<'s>(
    program: &IdedExpr,
    schema: Option<&'s Schema>,
    element: Option<Shape<'s>>,
) -> Vec<Mistake> {
    found(program, schema, vec![(ELEMENT.to_owned(), element)])
}

fn found<'s>(program: &IdedExpr, schema: Option<&'s Schema>, mut bound: Bound<'s>) -> Vec<Mistake> {
    let own = schema.map(|schema| Shape::of(schema.json()));
    let mut check = Check { environment: Context::with_env(ENVIRONMENT.clone()), own, found: Vec::new() };
    check.visit(program, &mut bound);
    check.found
}

/// Names bound by macros such as `map`, and what is known of their values.
type Bound<'s> = Vec<(String, Option<Shape<'s>>)>;

struct Check<'s> {
    environment: Context<'static, 'static>,
    own: Option<Shape<'s>>,
    found: Vec<Mistake>,
}

impl<'s> Check<'s> {
    /// Looks at an expression and says what is known of its value.
    fn visit(&mut self, expression: &IdedExpr, bound: &mut Bound<'s>) -> Option<Shape<'s>> {
        match &expression.expr {
            Expr::Ident(name) => self.name(expression, name, bound),
            Expr::Select(select) => {
                let of = self.visit(&select.operand, bound);
                if let Expr::Ident(root) = &select.operand.expr
                    && root != "self"
                    && ROOTS.contains(&root.as_str())
                    && !bound.iter().any(|(name, _)| name == root)
                {
                    self.found.push(format!("`{root}` has no fields").into());
                }
                self.field(of?, &select.field)
            }
            Expr::Call(call) => self.call(call, bound),
            Expr::Comprehension(comprehension) => {
                self.looped(comprehension, bound);
                None
            }
            Expr::Struct(made) => {
                self.found.push(
                    format!("unknown type `{}`: an object is written {{'a': 1}}", made.type_name).into(),
                );
                None
            }
            other => {
                for child in children(other) {
                    self.visit(child, bound);
                }
                None
            }
        }
    }

    fn name(&mut self, expression: &IdedExpr, name: &str, bound: &Bound<'s>) -> Option<Shape<'s>> {
        if let Some((_, shape)) = bound.iter().rev().find(|(variable, _)| variable == name) {
            return shape.clone();
        }
        if name == "self" {
            return self.own.clone();
        }
        // What is left are names of types, such as `string` in `type(self.a) == string`.
        if !ROOTS.contains(&name) && Value::resolve_val(expression, &self.environment).is_err() {
            let own = [("self", self.own.as_ref())].into_iter();
            let bound = bound.iter().rev().map(|(variable, shape)| (variable.as_str(), shape.as_ref()));
            let mut known = own.chain(bound);
            let has_it = |shape: &Shape<'_>| shape.fields().contains(&name);
            let variables = known.clone().map(|(variable, _)| variable);
            let suggestion = match known.find(|(_, shape)| shape.is_some_and(has_it)) {
                Some((variable, _)) => Some(format!("{variable}.{name}")),
                None => nearest(name, ROOTS.into_iter().chain(variables)),
            };
            self.found.push(Mistake { message: format!("unknown name `{name}`"), suggestion });
        }
        None
    }

    fn field(&mut self, of: Shape<'s>, name: &str) -> Option<Shape<'s>> {
        let (message, suggestion) = match of.field(name) {
            Field::Possible(shape) => return shape,
            Field::Never(known) => (format!("the schema has no field `{name}`"), nearest(name, known)),
            Field::NoObject(types) => (format!("`{name}` is asked of a value of type {types}"), None),
        };
        self.found.push(Mistake { message, suggestion });
        None
    }

    fn call(&mut self, call: &CallExpr, bound: &mut Bound<'s>) -> Option<Shape<'s>> {
        let [first, second] = &call.args[..] else { return self.function(call, bound) };
        match call.func_name.as_str() {
            operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => {
                let of = self.visit(first, bound);
                self.visit(second, bound);
                match (text(second), &second.expr) {
                    (Some(name), _) => self.field(of?, name),
                    (None, Expr::Literal(LiteralValue::Int(_))) => of?.item(),
                    _ => None,
                }
            }
            _ => self.function(call, bound),
        }
    }

    fn function(&mut self, call: &CallExpr, bound: &mut Bound<'s>) -> Option<Shape<'s>> {
        let name = call.func_name.as_str();
        let namespaced = call.target.as_deref().and_then(qualified).map(|target| format!("{target}.{name}"));
        let known_namespaced = namespaced.is_some_and(|name| self.declared(name, None));
        let is_operator = !name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        if !known_namespaced && !is_operator && !self.declared(name.to_owned(), call.target.as_deref()) {
            let message = format!("unknown function `{name}`");
            self.found.push(Mistake { message, suggestion: nearest(name, FUNCTIONS) });
            // The arguments of a misspelt macro name variables that only the macro would bind.
            return None;
        }
        if let Some(target) = call.target.as_deref().filter(|_| !known_namespaced) {
            self.visit(target, bound);
        }
        for argument in &call.args {
            self.visit(argument, bound);
        }
        None
    }

    /// Whether a call of that name reaches any function: the interpreter tells an unknown one from one that does not
    /// take these arguments.
    fn declared(&self, func_name: String, target: Option<&IdedExpr>) -> bool {
        let null = || IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Null) };
        let target = target.map(|_| Box::new(null()));
        let probe = IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name, target, args: Vec::new() }) };
        let result = Value::resolve_val(&probe, &self.environment).map(drop);
        !matches!(result, Err(ExecutionError::UndeclaredReference(_)))
    }

    fn looped(&mut self, comprehension: &ComprehensionExpr, bound: &mut Bound<'s>) {
        let range = self.visit(&comprehension.iter_range, bound);
        self.visit(&comprehension.accu_init, bound);
        let outside = bound.len();
        // With two variables the first is the index or key.
        let element = range.and_then(|range| range.item()).filter(|_| comprehension.iter_var2.is_none());
        bound.push((comprehension.iter_var.clone(), element));
        bound.extend(comprehension.iter_var2.clone().map(|second| (second, None)));
        bound.push((comprehension.accu_var.clone(), None));
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.visit(part, bound);
        }
        bound.truncate(outside);
    }
}

/// `a.b` as text, if that is all an expression is.
fn qualified(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}
