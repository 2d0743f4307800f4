//! A TOML file as names and values; no line of it is repeated, as it may hold a secret.

use std::path::Path;

use toml::{Table, Value};

/// The values of a file by their dotted names, or what is wrong with it as a sentence.
pub(super) fn values(path: &Path) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let text = match super::read(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(format!("{shown}: there is no such file")),
        Err(error) => {
            return Err(format!("{shown}: cannot be read ({error}); make it a text file"));
        }
    };
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |it| it.start);
        let line = 1 + text.bytes().take(start).filter(|it| *it == b'\n').count();
        format!("{shown}: line {line} is not TOML ({})", error.message())
    })?;
    let mut values = Vec::new();
    flatten("", table, &mut values).map_err(|name| {
        format!("{shown}: {name} will not do; use a text, a number, true, false or a list of these")
    })?;
    Ok(values)
}

/// The name of the first value that is none of ours is the error.
fn flatten(prefix: &str, table: Table, values: &mut Vec<(String, String)>) -> Result<(), String> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => flatten(&format!("{name}."), inner, values)?,
            Value::Array(list) => {
                let texts: Option<Vec<_>> = list.into_iter().map(scalar).collect();
                values.push((name.clone(), texts.ok_or(name)?.join(",")));
            }
            other => values.push((name.clone(), scalar(other).ok_or(name)?)),
        }
    }
    Ok(())
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(is_on) => Some(u8::from(is_on).to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}
