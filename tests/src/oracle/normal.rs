//! The one normaliser: rows of `/proc/PID/maps` are made comparable, everything else stays as it is.
//!
//! Linux chooses the places of heap, stack and mappings at random, and has pages of its own in every program (vvar, vdso,
//! vsyscall). Places become distances from a named base; sizes, rights, offsets, order and names stay.

/// Rows that Linux adds to every program and the lab does not have.
const LINUXS_OWN: [&str; 4] = ["[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"];

/// One row of maps.
#[derive(Debug)]
struct Row<'a> {
    start: u64,
    end: u64,
    rights: &'a str,
    offset: &'a str,
    /// Whether there is a file behind it.
    file: bool,
    name: &'a str,
}

impl Row<'_> {
    /// Whether it maps the program's file, wherever that lies.
    fn is_of(&self, program: &str) -> bool {
        self.name.rsplit_once('/').is_some_and(|(_, name)| name == program)
    }
}

/// The text with its rows of maps made comparable. `program` is the file name of the program that printed it.
pub fn normalise(text: &str, program: &str) -> String {
    let rows: Vec<Row<'_>> = text.lines().filter_map(row).collect();
    let mut out = String::new();
    for line in text.lines() {
        match row(line) {
            Some(row) if LINUXS_OWN.contains(&row.name) => {}
            Some(row) => {
                let (base, name, down) = base(&row, &rows, program);
                let file = if row.file { "file" } else { "anonymous" };
                let shown = if row.is_of(program) { "PROGRAM" } else { row.name };
                let (start, end) = match down {
                    true => (format!("-{:x}", base - row.start), format!("-{:x}", base - row.end)),
                    false => (format!("+{:x}", row.start - base), format!("+{:x}", row.end - base)),
                };
                let line = format!("{name}{start} {name}{end} {} {} {file} {shown}", row.rights, row.offset);
                out.push_str(line.trim_end());
                out.push('\n');
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

/// What a row's place is told from: the base, its name, and whether distances count downwards.
fn base(row: &Row<'_>, rows: &[Row<'_>], program: &str) -> (u64, &'static str, bool) {
    let heap = rows.iter().filter(|row| row.name == "[heap]").map(|row| row.start).min();
    let image = rows.iter().filter(|row| row.is_of(program)).map(|row| row.start).min();
    if row.name == "[stack]" {
        return (row.end, "stack", true);
    }
    if row.name == "[heap]" {
        return (heap.unwrap_or(row.start), "heap", false);
    }
    // What lies before the heap or beside the image belongs to the program: its segments and its bss.
    if let Some(image) = image
        && row.start >= image
        && row.start - image < 1 << 30
        && heap.is_none_or(|heap| row.start < heap)
    {
        return (image, "program", false);
    }
    let others = rows.iter().filter(|other| {
        !LINUXS_OWN.contains(&other.name) && !["[stack]", "[heap]"].contains(&other.name) && !other.is_of(program)
    });
    (others.map(|other| other.end).max().unwrap_or(row.end), "top", true)
}

/// A row of maps, or `None` for any other line.
fn row(line: &str) -> Option<Row<'_>> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() >= 8);
    let (start, end) = (hex(start)?, hex(end)?);
    let rights = words.next().filter(|rights| rights.len() == 4)?;
    let offset = words.next()?;
    words.next().filter(|device| device.contains(':'))?;
    let inode: u64 = words.next()?.parse().ok()?;
    let name = words.next().unwrap_or_default().trim_start();
    Some(Row { start, end, rights, offset, file: inode != 0, name })
}
