//! Names of the instructions in a run file: the functions of the guest kernel and of the program.

use rusqlite::{Connection, OptionalExtension, params};

use super::input::Images;
use crate::vm::symbols::Symbols;

/// Addresses from here on are the guest kernel's.
const KERNEL_HALF: u64 = 1 << 63;

/// Names every instruction that a row of faults or of KVM's events has.
pub(super) fn symbolize(conn: &Connection, images: &Images) -> rusqlite::Result<()> {
    let addresses: Vec<i64> = conn
        .prepare(
            "SELECT rip FROM raw_host_fault WHERE rip IS NOT NULL UNION SELECT rip FROM raw_kvm_event WHERE rip IS NOT NULL
             UNION SELECT rip FROM raw_guest_fault",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if addresses.is_empty() {
        return Ok(());
    }
    let kernel = Symbols::from_elf(&images.kernel);
    let program = Symbols::from_elf(&images.program);
    let bias = bias(conn, &images.program)?;
    let mut insert = conn.prepare("INSERT OR REPLACE INTO raw_symbol VALUES (?, ?)")?;
    for address in addresses {
        let place = address.cast_unsigned();
        let name = if place >= KERNEL_HALF { kernel.name(place) } else { program.name(place.wrapping_sub(bias)) };
        if let Some(name) = name {
            insert.execute(params![address, name])?;
        }
    }
    Ok(())
}

/// How far the program lies from where its file says: the kernel chooses the place of one that may lie anywhere.
fn bias(conn: &Connection, program: &[u8]) -> rusqlite::Result<u64> {
    let wanted = Symbols::entry(program);
    Ok(entry(conn)?.zip(wanted).map_or(0, |(entry, wanted)| entry.wrapping_sub(wanted)))
}

/// Where the program's first instruction was, as the guest told it.
pub(super) fn entry(conn: &Connection) -> rusqlite::Result<Option<u64>> {
    let entry: Option<i64> = conn
        .query_row("SELECT entry FROM raw_process WHERE op = 1 ORDER BY id LIMIT 1", [], |row| row.get(0))
        .optional()?;
    Ok(entry.map(i64::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::schema;

    #[test]
    fn instructions_get_the_names_of_their_functions() {
        let conn = Connection::open_in_memory().expect("memory");
        schema::create(&conn).expect("the schema is valid");
        let own = std::fs::read("/proc/self/exe").expect("a program can read itself");
        let entry = Symbols::entry(&own).expect("an executable has one");
        // The program lies 4 MiB above where its file says; an instruction of it, and one that nobody knows.
        let moved = entry + (4 << 20);
        let process = "INSERT INTO raw_process VALUES (1, 0, 1, 0, 1, 0, 0, 0, 0, ?)";
        conn.execute(process, [moved.cast_signed()]).expect("insert");
        for rip in [moved + 1, 1] {
            conn.execute(
                "INSERT INTO raw_host_fault(tsc_begin, tsc_end, gpa, access, source, kind, bytes, rip)
                 VALUES (1, 2, 0, 1, 0, 1, 0, ?)",
                [rip.cast_signed()],
            )
            .expect("insert");
        }
        symbolize(&conn, &Images { kernel: Vec::new(), program: own }).expect("it is written");
        let names: Vec<Option<String>> = conn
            .prepare("SELECT symbol FROM host_fault ORDER BY id")
            .and_then(|mut rows| rows.query_map([], |row| row.get(0))?.collect())
            .expect("query");
        assert_eq!(names, [Some("_start+0x1".to_owned()), None]);
    }
}
