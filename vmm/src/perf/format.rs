//! The format file of one tracepoint: where its fields lie in a record, and the names the kernel prints for their values.
//!
//! The text is the kernel's own (Linux: Documentation/trace/events.rst, "Event formats") and differs between releases and
//! configurations, so nothing is assumed of it but its grammar: fields are found by name, and one that is not there is
//! not read.

use std::collections::BTreeMap;

/// Values of a field by number, with the names the kernel prints.
pub type Symbols = BTreeMap<u64, String>;

/// A tracepoint, as its format file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its name, without the subsystem.
    pub name: String,
    /// The number that perf_event_open takes, and that each of its records begins with.
    pub id: u16,
    fields: Vec<(String, Field)>,
    print: String,
}

/// Where a number lies in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    offset: usize,
    size: usize,
    signed: bool,
}

/// A format file that breaks the grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format file of a tracepoint has no {missing}")]
pub struct FormatError {
    missing: &'static str,
}

impl Format {
    /// Reads a format file.
    ///
    /// # Errors
    /// Without a name and a number the text describes no tracepoint. Lines that say nothing known are passed over.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        let after = |key| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let name = after("name:").filter(|name| !name.is_empty()).ok_or(FormatError { missing: "name" })?;
        let id = after("ID:").and_then(|id| id.parse().ok()).ok_or(FormatError { missing: "valid ID" })?;
        let fields = text.lines().filter_map(field).collect();
        Ok(Format { name: name.to_owned(), id, fields, print: after("print fmt:").unwrap_or_default().to_owned() })
    }

    /// The field with this name, if it is a number of 1, 2, 4 or 8 bytes.
    pub fn field(&self, name: &str) -> Option<Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| *field)
    }

    /// The names that the kernel prints for a field's values, one table for each place where it prints the field by name,
    /// in their order: `kvm_exit` has one for VT-x and one for SVM.
    pub fn symbols(&self, field: &str) -> Vec<Symbols> {
        let call = format!("__print_symbolic(REC->{field}");
        let calls = self.print.match_indices(&call).map(|(start, _)| &self.print[start + call.len()..]);
        // Not the field `x1` where `x` was asked for.
        let calls = calls.filter(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'));
        calls.map(symbols).collect()
    }
}

impl Field {
    /// The field's value in a record; a negative number is sign-extended. `None` if the record ends before it.
    pub fn read(self, record: &[u8]) -> Option<u64> {
        let bytes = record.get(self.offset..self.offset.checked_add(self.size)?)?;
        let mut wide = [0; 8];
        wide.get_mut(..self.size)?.copy_from_slice(bytes);
        let unused = 64 - 8 * self.size as u32;
        let value = u64::from_le_bytes(wide) << unused;
        Some(if self.signed { (value.cast_signed() >> unused).cast_unsigned() } else { value >> unused })
    }
}

/// Reads `field:TYPE NAME; offset:N; size:N; signed:N;`.
fn field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let mut number = |key: &str| parts.next()?.strip_prefix(key)?.parse::<usize>().ok();
    let (offset, size) = (number("offset:")?, number("size:")?);
    // Kernels before 2.6.30 do not say it.
    let signed = number("signed:").unwrap_or(0) != 0;
    let name = declaration.rsplit(|next: char| next.is_whitespace() || next == '*').next()?;
    // Arrays and texts of varying length are no numbers.
    if name.is_empty() || name.contains('[') || declaration.contains('[') || ![1, 2, 4, 8].contains(&size) {
        return None;
    }
    Some((name.to_owned(), Field { offset, size, signed }))
}

/// Reads the pairs `{ VALUE, "NAME" }` that follow until the call's parenthesis closes.
fn symbols(call: &str) -> Symbols {
    let mut found = Symbols::new();
    let mut rest = call;
    while let Some(start) = rest.find(['{', ')']) {
        if rest.as_bytes()[start] == b')' {
            break;
        }
        let Some((pair, after)) = pair(&rest[start + 1..]) else { break };
        if let Some((value, name)) = pair {
            // The kernel takes the first that fits.
            found.entry(value).or_insert(name);
        }
        rest = after;
    }
    found
}

/// One pair and what follows its closing brace. The pair is `None` if its value is no sum of numbers.
fn pair(text: &str) -> Option<(Option<(u64, String)>, &str)> {
    let (value, rest) = text.split_once(',')?;
    let (mut name, mut rest) = (String::new(), rest);
    loop {
        let next = rest.find(['"', '}'])?;
        if rest.as_bytes()[next] == b'}' {
            return Some((sum(value).map(|value| (value, name)), &rest[next + 1..]));
        }
        // Literals side by side are one, as in C.
        let (literal, after) = rest[next + 1..].split_once('"')?;
        name.push_str(literal);
        rest = after;
    }
}

/// `7`, `0x40 + 14`, `-1`.
fn sum(text: &str) -> Option<u64> {
    text.split('+').map(number).try_fold(0u64, |sum, term| Some(sum.wrapping_add(term?)))
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches('(').trim_end_matches(')');
    if let Some(positive) = text.strip_prefix('-') {
        // The fields that have a name for -1 are 32 bits wide.
        return Some(u64::from((number(positive)? as u32).wrapping_neg()));
    }
    let text = text.trim_end_matches(['U', 'L', 'u', 'l']);
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
