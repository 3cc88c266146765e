//! Tables in Markdown.

/// A table: its head, then its rows.
#[derive(Debug)]
pub struct Table(String);

impl Table {
    /// Its columns; all but the first hold numbers.
    pub fn new<S: AsRef<str>>(columns: &[S]) -> Self {
        let mut table = Self(String::new());
        table.row(columns);
        table.0 += "|---|";
        table.0 += &"---:|".repeat(columns.len() - 1);
        table.0 += "\n";
        table
    }

    /// One more row.
    pub fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.0 += &format!("| {} |\n", cells.join(" | "));
    }

    /// As text.
    pub fn text(self) -> String {
        self.0
    }
}

/// A number with its thousands apart.
pub fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let text = [0.0, 999.0, 1000.4, 1_234_567.0, -1000.0].map(thousands);
        assert_eq!(text, ["0", "999", "1,000", "1,234,567", "-1,000"]);
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["x", "1"]);
        assert_eq!(table.text(), "| a | b |\n|---|---:|\n| x | 1 |\n");
    }
}
