//! The look of the report's tables.

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets::NOTHING};

/// A table without borders, a rule under its header. Columns named `>Like this` are right-aligned.
pub(super) struct Rows(Table);

impl Rows {
    /// An empty table with these columns.
    pub(super) fn new(columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_style(TableComponent::HeaderLines, '─').set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.set_header(columns.iter().map(|name| name.trim_start_matches('>')));
        for (column, name) in table.column_iter_mut().zip(columns) {
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Rows(table)
    }

    /// Adds a row.
    pub(super) fn add<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// The table as lines, indented.
    pub(super) fn render(&self) -> String {
        self.0.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
    }
}
