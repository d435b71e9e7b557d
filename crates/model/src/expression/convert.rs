//! JSON as CEL values and back. Integers are exact within 64 bits; strings are borrowed, not copied.

use std::collections::HashMap;

use aqueduct_contract::format_time;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelTimestamp,
    CelType, CelUInt,
};
use cel::common::value::Val;
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

/// An object as a CEL map.
pub(super) fn object<'a>(fields: &'a Map<String, Value>) -> Box<dyn Val + 'a> {
    let entries = fields.iter().map(|(name, value)| (CelMapKey::from(name.as_str()), from_json(value)));
    Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
}

pub(super) fn from_json<'a>(value: &'a Value) -> Box<dyn Val + 'a> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => from_number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>())),
        Value::Object(fields) => object(fields),
    }
}

fn from_number<'a>(number: &Number) -> Box<dyn Val + 'a> {
    if let Some(integer) = number.as_i64() {
        Box::new(CelInt::from(integer))
    } else if let Some(integer) = number.as_u64() {
        Box::new(CelUInt::from(integer))
    } else {
        Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
    }
}

/// A result as JSON. Keys of objects are sorted: CEL's maps have no order, and the same item must give the same bytes.
pub(super) fn to_json(value: &dyn Val) -> Result<Value, String> {
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Value::Null);
    }
    if let Some(value) = value.downcast_ref::<CelBool>() {
        return Ok(Value::Bool(*value.inner()));
    }
    if let Some(integer) = value.downcast_ref::<CelInt>() {
        return Ok(Value::from(*integer.inner()));
    }
    if let Some(integer) = value.downcast_ref::<CelUInt>() {
        return Ok(Value::from(*integer.inner()));
    }
    if let Some(double) = value.downcast_ref::<CelDouble>() {
        let number = Number::from_f64(*double.inner());
        return number
            .map(Value::Number)
            .ok_or_else(|| format!("{} is not a number of JSON", double.inner()));
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(Value::from(text.inner()));
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().iter().map(|item| to_json(item.as_ref())).collect();
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        return object_to_json(map);
    }
    if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        let (seconds, nanoseconds) = (time.inner().timestamp(), time.inner().timestamp_subsec_nanos());
        let time = i32::try_from(nanoseconds).ok().and_then(|part| Timestamp::new(seconds, part).ok());
        return time
            .map(|time| Value::from(format_time(time)))
            .ok_or_else(|| "the time is out of range".to_owned());
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return optional.option().map_or(Ok(Value::Null), to_json);
    }
    if let Some(named) = value.downcast_ref::<CelType>() {
        return Ok(Value::from(named.name()));
    }
    Err(format!("a {} has no form in JSON", value.get_type().name()))
}

fn object_to_json(map: &CelMap<'_>) -> Result<Value, String> {
    let mut fields = Vec::with_capacity(map.inner().len());
    for (key, value) in map.inner() {
        match to_json(key.inner())? {
            Value::String(name) => fields.push((name, to_json(value.as_ref())?)),
            other => return Err(format!("the key {other} of an object is not a string")),
        }
    }
    fields.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(Value::Object(fields.into_iter().collect()))
}
