//! Typed access to a TOML table that remembers which keys are known and collects every fault.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::diagnostic::{Diagnostic, Position, Source};

/// A value and the octet range in which it stands.
pub(super) type At<T> = (T, Range<usize>);

/// What all tables of one file share: the text, and the faults found so far.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    faults: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
}

/// One table, named as an operator would name it: `[limits]`, `zone "lac."`.
pub(super) struct Table<'a> {
    reader: &'a Reader<'a>,
    pub(super) title: String,
    pub(super) span: Range<usize>,
    /// None where the section is absent.
    entries: Option<&'a DeTable<'a>>,
    known: RefCell<Vec<&'static str>>,
    forbidden: RefCell<Vec<&'static str>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, faults: RefCell::default(), warnings: RefCell::default() }
    }

    pub(super) fn fault(&self, span: &Range<usize>, message: impl Into<String>) {
        self.faults.borrow_mut().push(self.source.at(span, message));
    }

    pub(super) fn warn(&self, span: &Range<usize>, message: impl Into<String>) {
        self.warnings.borrow_mut().push(self.source.at(span, message));
    }

    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        self.source.position(span.start)
    }

    /// Faults and warnings in the order of the file.
    pub(super) fn into_findings(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let (mut faults, mut warnings) = (self.faults.into_inner(), self.warnings.into_inner());
        faults.sort_by_key(|fault| fault.position);
        warnings.sort_by_key(|warning| warning.position);
        (faults, warnings)
    }

    /// The table of the whole file.
    pub(super) fn document(&'a self, value: &'a Spanned<DeTable<'a>>) -> Table<'a> {
        self.table("the configuration", value.span(), Some(value.get_ref()))
    }

    fn table(
        &'a self,
        title: &str,
        span: Range<usize>,
        entries: Option<&'a DeTable<'a>>,
    ) -> Table<'a> {
        let (known, forbidden) = (RefCell::default(), RefCell::default());
        Table { reader: self, title: title.to_owned(), span, entries, known, forbidden }
    }
}

impl<'a> Table<'a> {
    pub(super) fn reader(&self) -> &'a Reader<'a> {
        self.reader
    }

    /// The value of a key, which thereby becomes known.
    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().push(key);
        self.entries?.get(key)
    }

    /// The place of a key's value, if it is there.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.entries.and_then(|entries| entries.get(key)).map_or(self.span.clone(), Spanned::span)
    }

    /// Whether a key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Makes a key known without reading it.
    pub(super) fn known(&self, key: &'static str) {
        self.known.borrow_mut().push(key);
    }

    /// Whether a key holds a list without entries.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let value = self.entries.and_then(|entries| entries.get(key));
        value
            .is_some_and(|value| matches!(value.get_ref(), DeValue::Array(list) if list.is_empty()))
    }

    fn mismatch(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let message = format!("{key} in {} is {wanted}, not {}", self.title, article(found));
        self.reader.fault(&value.span(), message);
    }

    pub(super) fn string(&self, key: &'static str) -> Option<At<&'a str>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), value.span())),
            _ => {
                self.mismatch(key, value, "a string");
                None
            }
        }
    }

    /// A string that `parse` understands; its error is told with key and value.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let (text, span) = self.string(key)?;
        match parse(text) {
            Ok(value) => Some((value, span)),
            Err(error) => {
                let message = format!("{key} in {}: \"{text}\": {error}", self.title);
                self.reader.fault(&span, message);
                None
            }
        }
    }

    /// A list of strings that `parse` understands.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<At<T>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.mismatch(key, value, "a list of strings, such as [\"...\"]");
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in items.iter() {
            let DeValue::String(text) = item.get_ref() else {
                self.mismatch(key, item, "a list of strings");
                continue;
            };
            match parse(text) {
                Ok(value) => list.push((value, item.span())),
                Err(error) => {
                    let message = format!("{key} in {}: \"{text}\": {error}", self.title);
                    self.reader.fault(&item.span(), message);
                }
            }
        }
        list
    }

    /// The name of a list's member, told apart from those before it, whose lines are in `lines`; faults of
    /// the rest of the member are titled with it.
    pub(super) fn unique_name(
        &mut self,
        kind: &str,
        lines: &mut BTreeMap<String, usize>,
        parse: impl FnOnce(&str) -> Result<String, String>,
    ) -> Option<String> {
        if !self.has("name") {
            let message = format!("[[{kind}]] has no name: give it one");
            self.known("name");
            self.reader.fault(&self.span, message);
            return None;
        }
        let (name, span) = self.parsed("name", parse)?;
        let line = self.reader.position(&span).line;
        if let Some(first) = lines.insert(name.clone(), line) {
            let message =
                format!("{kind} \"{name}\" stands twice, first in line {first}: remove one");
            self.reader.fault(&span, message);
            return None;
        }
        self.title = format!("{kind} \"{name}\"");
        Some(name)
    }

    /// As [`Table::list`]; what stands twice is a fault.
    pub(super) fn distinct<T: PartialEq + std::fmt::Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut distinct = Vec::new();
        for (value, span) in self.list(key, parse) {
            if distinct.contains(&value) {
                let message = format!("{key} in {} names {value} twice: remove one", self.title);
                self.reader.fault(&span, message);
            } else {
                distinct.push(value);
            }
        }
        distinct
    }

    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.mismatch(key, value, "a whole number");
            return None;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (low, high) = (range.start(), range.end());
                let message = format!(
                    "{key} in {} is {}: it must be from {low} to {high}",
                    self.title,
                    integer.as_str()
                );
                self.reader.fault(&value.span(), message);
                None
            }
        }
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            _ => {
                self.mismatch(key, value, "true or false");
                None
            }
        }
    }

    /// A time with its unit, such as `"10s"`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let (duration, span) = self.parsed(key, parse_duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let shown = |time: &Duration| match time.subsec_millis() {
            0 => format!("{}s", time.as_secs()),
            _ => format!("{}ms", time.as_millis()),
        };
        let (low, high) = (shown(range.start()), shown(range.end()));
        let message = format!("{key} in {} must be from {low} to {high}", self.title);
        self.reader.fault(&span, message);
        None
    }

    /// A sub-table; an empty one where the key is absent.
    pub(super) fn section(&self, key: &'static str) -> Table<'a> {
        let title = format!("[{key}]");
        let Some(value) = self.value(key) else {
            return self.reader.table(&title, self.span.clone(), None);
        };
        let DeValue::Table(entries) = value.get_ref() else {
            self.mismatch(key, value, &format!("a section, headed [{key}]"));
            return self.reader.table(&title, value.span(), None);
        };
        self.reader.table(&title, value.span(), Some(entries))
    }

    /// A list of tables: `[[key]]`, or inline.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.mismatch(key, value, "a list of tables");
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(entries) => {
                    let title = format!("[[{key}]]");
                    list.push(self.reader.table(&title, item.span(), Some(entries)));
                }
                _ => self.mismatch(key, item, "a list of tables"),
            }
        }
        list
    }

    /// A key that must not stand here, with the reason; it is never suggested.
    pub(super) fn forbid(&self, key: &'static str, reason: &str) {
        self.forbidden.borrow_mut().push(key);
        if let Some((name, _)) = self.entries.and_then(|entries| entries.get_key_value(key)) {
            self.reader.fault(&name.span(), format!("{key} in {}: {reason}", self.title));
        }
    }

    /// Tells every key that nobody asked for.
    pub(super) fn finish(self) {
        let (known, forbidden) = (self.known.borrow(), self.forbidden.borrow());
        for key in self.entries.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if known.contains(&name) || forbidden.contains(&name) {
                continue;
            }
            let nearest = known
                .iter()
                .map(|known| (similarity(&name.to_lowercase(), known), *known))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let remedy = match nearest {
                Some((similarity, nearest)) if similarity > 0.6 => {
                    format!("did you mean \"{nearest}\"?")
                }
                _ => format!("known here: {}", known.join(", ")),
            };
            let message = format!("unknown key \"{name}\" in {}: {remedy}", self.title);
            self.reader.fault(&key.span(), message);
        }
    }
}

/// From 0 to 1: one measure sees common beginnings, the other swapped and forgotten letters.
fn similarity(written: &str, known: &str) -> f64 {
    let beginning = strsim::jaro_winkler(written, known);
    beginning.max(strsim::normalized_damerau_levenshtein(written, known))
}

/// `a` or `an`, and the type's name as TOML calls it.
fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}

/// A number and a unit: ms, s, m, h or d.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number and ms, s, m, h or d, such as \"10s\"".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    let milliseconds = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)
}
