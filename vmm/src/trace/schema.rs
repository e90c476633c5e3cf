//! The run file's tables and views (schema version 1).
//!
//! Readers rely on the *views*: `run`, `guest_fault`, `host_fault`, `fault_chain`, `present`, `page_table_entry`, `kvm_event`, `stat_sample`, `eviction`, `dirty_interval`, `trap`, `frame_event`, `slab_event`, `vmalloc_event`, `vma_event`,
//! `syscall`, `process`, `snapshot`, `vma_snapshot`, `counter_snapshot`, `console`, `message`, `crash`, `crash_register`,
//! `crash_area`, `crash_frame`, `check_result`, `check_skipped`.
//!
//! - Codes are shown by name; a code without a name as `unknown-N`.
//! - Addresses are text, `0x` and 16 digits, so that they compare and sort as addresses do. Frame numbers, times
//!   (TSC ticks), sizes and error codes are numbers.
//! - An address or frame that there is none of is NULL.
//! - `id` is the position in the guest's stream, across all of its kinds of events: `ORDER BY id` is the order in
//!   which things happened on a vCPU. `host_fault.id` counts host faults by themselves, in order of arrival.
//! - `host_fault.owner` is NULL until the run has ended and both streams were joined; so is `counted`.
//! - Several sources may see one host fault. `host_fault.counted` is 1 for the rows of the source that stands for them
//!   all, `host_fault_source` of `run`: count these. `same_as` leads from such a row to a witness's row of the same fault,
//!   and back; what one of them does not know, its view shows from the other.
//! - `fault_chain` has the host faults inside each guest fault, on the frame it mapped and on page tables.
//! - `crash` has the program's end by a signal, if it had one; its registers, the mappings around it and its backtrace
//!   are in `crash_register`, `crash_area` and `crash_frame`, by `crash.id`.
//! - `present` and `page_table_entry` hold which pages the host had and the entries of the
//!   guest's page tables that are not zero, at the run's ends.
//!
//! The STRICT `raw_*` tables below them keep the numbers: 64-bit values bit-cast to SQLite's signed integers, so
//! `printf('%x', gva)` shows an address and `gva >> 12` (masked) its page. They may change with any version.

use pagelab_abi::{
    code::{
        BulkKind, FaultKind, FrameOp, MigrateType, Moment, Owner, ProcessOp, SlabOp, SnapshotKind, VmaOp, VmallocOp,
        Zone,
    },
    crash::CrashCause,
};
use rusqlite::{Connection, params};
use syscalls::Sysno;

use super::input::{HostFaultKind, RunBound, SampleKind};

/// The version of the views this pagelab writes, and the newest it reads. In the file: `PRAGMA user_version`.
pub const SCHEMA_VERSION: i64 = 1;
/// `PRAGMA application_id` of a run file: "PGLB".
pub const APPLICATION_ID: i64 = 0x5047_4c42;

/// Owner of a host-faulted page of the trace window. Beyond the guest's own codes.
pub(super) const OWNER_TRACE_WINDOW: u16 = 0x100;
/// Owner of a host-faulted page that is neither RAM nor trace window.
pub(super) const OWNER_OUTSIDE_RAM: u16 = 0x101;
/// Owner of a host-faulted page of a guest that tells nothing of its frames.
pub(crate) const OWNER_UNKNOWN: u16 = 0x102;

const TABLES: &str = "
CREATE TABLE raw_run(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE raw_symbol(address INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE raw_string(id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE raw_guest_fault(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, pid INTEGER NOT NULL, tsc_begin INTEGER NOT NULL,
  tsc_end INTEGER NOT NULL, gva INTEGER NOT NULL, error_code INTEGER NOT NULL, rip INTEGER NOT NULL,
  kind INTEGER NOT NULL, flags INTEGER NOT NULL, vma_start INTEGER NOT NULL, pfn INTEGER NOT NULL,
  frame_order INTEGER NOT NULL) STRICT;
CREATE TABLE raw_host_fault(
  id INTEGER PRIMARY KEY, vcpu INTEGER, tsc_begin INTEGER NOT NULL, tsc_end INTEGER NOT NULL, gpa INTEGER NOT NULL,
  access INTEGER NOT NULL, source INTEGER NOT NULL, owner INTEGER, guest_fault_id INTEGER, rip INTEGER,
  error_code INTEGER, kind INTEGER NOT NULL, bytes INTEGER NOT NULL, gva INTEGER, stage INTEGER, same_as INTEGER,
  frame_event_id INTEGER, cache INTEGER) STRICT;
CREATE TABLE raw_kvm_event(
  id INTEGER PRIMARY KEY, vcpu INTEGER, tsc INTEGER NOT NULL, tsc_end INTEGER, event INTEGER NOT NULL, reason TEXT,
  rip INTEGER, address INTEGER, code INTEGER, code2 INTEGER) STRICT;
CREATE TABLE raw_interval(
  id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, tsc_begin INTEGER NOT NULL, tsc_end INTEGER NOT NULL,
  pages INTEGER NOT NULL) STRICT;
CREATE TABLE raw_sample(
  id INTEGER PRIMARY KEY, tsc INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
  ticks INTEGER) STRICT;
CREATE TABLE raw_present(moment INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL) STRICT;
CREATE TABLE raw_page_table_entry(
  level INTEGER NOT NULL, pfn INTEGER NOT NULL, idx INTEGER NOT NULL, gva INTEGER NOT NULL, value INTEGER NOT NULL,
  PRIMARY KEY (level, pfn, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE raw_trap(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, tsc INTEGER NOT NULL, method TEXT NOT NULL, gva INTEGER NOT NULL,
  error_code INTEGER NOT NULL, rip INTEGER NOT NULL, kind INTEGER) STRICT;
CREATE TABLE raw_frame_event(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, pid INTEGER NOT NULL, tsc INTEGER NOT NULL, op INTEGER NOT NULL,
  pfn INTEGER NOT NULL, frames INTEGER NOT NULL, frame_order INTEGER NOT NULL, zone INTEGER NOT NULL,
  migratetype INTEGER NOT NULL, gfp INTEGER NOT NULL, owner INTEGER NOT NULL, call_site INTEGER NOT NULL) STRICT;
CREATE TABLE raw_slab_event(
  id INTEGER PRIMARY KEY, tsc INTEGER NOT NULL, op INTEGER NOT NULL, cache INTEGER NOT NULL, address INTEGER NOT NULL,
  bytes_requested INTEGER NOT NULL, bytes_allocated INTEGER NOT NULL, gfp INTEGER NOT NULL,
  call_site INTEGER NOT NULL) STRICT;
CREATE TABLE raw_vmalloc_event(
  id INTEGER PRIMARY KEY, tsc INTEGER NOT NULL, op INTEGER NOT NULL, address INTEGER NOT NULL, size INTEGER NOT NULL,
  frames INTEGER NOT NULL, flags INTEGER NOT NULL, pfn INTEGER NOT NULL, call_site INTEGER NOT NULL) STRICT;
CREATE TABLE raw_vma_event(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, pid INTEGER NOT NULL, tsc INTEGER NOT NULL, op INTEGER NOT NULL,
  start INTEGER NOT NULL, end INTEGER NOT NULL, file_offset INTEGER NOT NULL, prot INTEGER NOT NULL,
  flags INTEGER NOT NULL, file INTEGER NOT NULL) STRICT;
CREATE TABLE raw_syscall(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, pid INTEGER NOT NULL, tsc_begin INTEGER, tsc_end INTEGER,
  number INTEGER NOT NULL, arg0 INTEGER, arg1 INTEGER, arg2 INTEGER, arg3 INTEGER, arg4 INTEGER, arg5 INTEGER,
  result INTEGER) STRICT;
CREATE TABLE raw_process(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, pid INTEGER NOT NULL, tsc INTEGER NOT NULL, op INTEGER NOT NULL,
  status INTEGER NOT NULL, program INTEGER NOT NULL, min_flt INTEGER NOT NULL, maj_flt INTEGER NOT NULL,
  entry INTEGER NOT NULL) STRICT;
CREATE TABLE raw_snapshot(
  id INTEGER PRIMARY KEY, record INTEGER NOT NULL, tsc INTEGER NOT NULL, pid INTEGER NOT NULL,
  moment INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE raw_counter(
  record INTEGER NOT NULL, moment INTEGER NOT NULL, kind INTEGER NOT NULL, pid INTEGER NOT NULL, name TEXT NOT NULL,
  value INTEGER NOT NULL) STRICT;
CREATE TABLE raw_vma_snapshot(
  record INTEGER NOT NULL, moment INTEGER NOT NULL, pid INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
  bits INTEGER NOT NULL, name INTEGER NOT NULL, rss INTEGER NOT NULL, anonymous INTEGER NOT NULL, zero INTEGER NOT NULL,
  swap INTEGER NOT NULL) STRICT;
CREATE TABLE raw_missing_syscall(record INTEGER NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL) STRICT;
CREATE TABLE raw_console(
  id INTEGER PRIMARY KEY, tsc INTEGER NOT NULL, pid INTEGER NOT NULL, stream INTEGER NOT NULL, text TEXT NOT NULL,
  bytes BLOB NOT NULL) STRICT;
CREATE TABLE raw_message(
  id INTEGER PRIMARY KEY, record INTEGER, tsc INTEGER, kind TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE raw_crash(
  id INTEGER PRIMARY KEY, vcpu INTEGER NOT NULL, pid INTEGER NOT NULL, tsc INTEGER NOT NULL, signal INTEGER NOT NULL,
  code INTEGER NOT NULL, address INTEGER NOT NULL, cause INTEGER NOT NULL, vector INTEGER NOT NULL,
  error_code INTEGER NOT NULL, instruction INTEGER NOT NULL, code_bytes BLOB NOT NULL, disassembly TEXT, symbol TEXT,
  stack_start INTEGER NOT NULL, stack BLOB NOT NULL) STRICT;
CREATE TABLE raw_crash_register(
  crash INTEGER NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (crash, name)) STRICT, WITHOUT ROWID;
CREATE TABLE raw_crash_area(
  crash INTEGER NOT NULL, role TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, bits INTEGER NOT NULL,
  name INTEGER NOT NULL, PRIMARY KEY (crash, role)) STRICT, WITHOUT ROWID;
CREATE TABLE raw_crash_frame(
  crash INTEGER NOT NULL, number INTEGER NOT NULL, depth INTEGER NOT NULL, address INTEGER NOT NULL,
  found TEXT NOT NULL, symbol TEXT, function TEXT, file TEXT, line INTEGER, inlined INTEGER NOT NULL,
  PRIMARY KEY (crash, number, depth)) STRICT, WITHOUT ROWID;
CREATE TABLE raw_unknown(id INTEGER PRIMARY KEY, tsc INTEGER NOT NULL, kind INTEGER NOT NULL) STRICT;
CREATE TABLE raw_check(id INTEGER PRIMARY KEY, name TEXT NOT NULL, expected INTEGER NOT NULL, actual INTEGER NOT NULL,
  ok INTEGER NOT NULL, terms TEXT NOT NULL) STRICT;
CREATE TABLE raw_check_skipped(id INTEGER PRIMARY KEY, name TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE code_source(code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE code_kvm_event(code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE code_access(code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE code_stage(code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE code_syscall(code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO code_access VALUES (0, 'unknown'), (1, 'read'), (2, 'write'), (3, 'execute');
INSERT INTO code_stage VALUES (1, 'final'), (2, 'walk');
";

/// `hex(x)` and `name(table, column)` are spelled out by [`expand`].
const VIEWS: &str = "
CREATE VIEW run AS SELECT key, value FROM raw_run;
CREATE VIEW guest_fault AS SELECT f.id, vcpu, pid, tsc_begin, tsc_end, {hex gva} AS gva, error_code, {hex rip} AS rip,
  {name fault_kind kind} AS kind, CASE WHEN vma_start <> 0 THEN {hex vma_start} END AS vma_start,
  NULLIF(pfn, 0) AS pfn, frame_order, flags & 1 AS major, (flags >> 1) & 1 AS in_kernel, {symbol rip} AS symbol
  FROM raw_guest_fault f;
CREATE VIEW host_fault AS SELECT h.id, h.vcpu, h.tsc_begin, h.tsc_end, {hex h.gpa} AS gpa,
  {name access h.access} AS access, {name source h.source} AS source,
  CASE WHEN h.owner IS NOT NULL THEN {name owner h.owner} END AS owner, h.guest_fault_id,
  CASE WHEN COALESCE(h.rip, t.rip) IS NOT NULL THEN {hex COALESCE(h.rip,t.rip)} END AS rip,
  COALESCE(h.error_code, t.error_code) AS error_code, {name host_fault_kind h.kind} AS kind, NULLIF(h.bytes, 0) AS bytes,
  CASE WHEN COALESCE(h.gva, t.gva) IS NOT NULL THEN {hex COALESCE(h.gva,t.gva)} END AS gva,
  CASE WHEN COALESCE(h.stage, t.stage) IS NOT NULL THEN {name stage COALESCE(h.stage,t.stage)} END AS stage,
  CASE WHEN h.owner = (SELECT code FROM code_owner WHERE name = 'page_table') OR COALESCE(h.stage, t.stage) = 2
      THEN 'page_table'
    WHEN h.owner NOT IN (SELECT code FROM code_owner WHERE name IN ('none', 'unknown')) OR COALESCE(h.stage, t.stage) = 1
      THEN 'data' END AS level,
  h.same_as,
  h.source = (SELECT code FROM code_source WHERE name = (SELECT value FROM raw_run WHERE key = 'host_fault_source'))
    AS counted,
  {symbol COALESCE(h.rip,t.rip)} AS symbol
  , h.frame_event_id, (SELECT text FROM raw_string s WHERE s.id = h.cache) AS cache,
  (SELECT text FROM raw_string s WHERE s.id = e.call_site) AS call_site
  FROM raw_host_fault h LEFT JOIN raw_host_fault t ON t.id = h.same_as LEFT JOIN raw_frame_event e ON e.id = h.frame_event_id;
CREATE VIEW fault_chain AS SELECT g.id AS guest_fault_id, g.pid, g.gva, g.kind, g.tsc_end - g.tsc_begin AS guest_ticks,
  COALESCE(h.faults, 0) AS host_faults, COALESCE(h.ticks, 0) AS host_ticks, COALESCE(h.page_tables, 0) AS page_table_faults,
  COALESCE(h.own, 0) AS own_frame_faults
  FROM guest_fault g LEFT JOIN (
    SELECT f.guest_fault_id AS id, count(*) AS faults, sum(f.tsc_end - f.tsc_begin) AS ticks,
      sum(f.owner = (SELECT code FROM code_owner WHERE name = 'page_table')) AS page_tables,
      sum((f.gpa >> 12) BETWEEN r.pfn AND r.pfn + (1 << r.frame_order) - 1) AS own
    FROM raw_host_fault f JOIN raw_guest_fault r ON r.id = f.guest_fault_id
    WHERE f.source = (SELECT code FROM code_source
      WHERE name = (SELECT value FROM raw_run WHERE key = 'host_fault_source'))
    GROUP BY 1) h ON h.id = g.id;
CREATE VIEW present AS SELECT {name run_bound moment} AS moment, start AS pfn, end - start AS frames FROM raw_present;
CREATE VIEW page_table_entry AS SELECT (SELECT value FROM raw_run WHERE key = 'cr3') AS cr3, level, pfn AS table_pfn,
  idx AS \"index\", {hex gva} AS gva, {hex value} AS value,
  trim(CASE WHEN value & 1 THEN 'P' ELSE '' END || CASE WHEN value & 2 THEN ' W' ELSE '' END ||
    CASE WHEN value & 4 THEN ' U' ELSE '' END || CASE WHEN value & 32 THEN ' A' ELSE '' END || CASE WHEN value & 64 THEN ' D' ELSE '' END ||
    CASE WHEN level > 1 AND value & 128 THEN ' PS' ELSE '' END || CASE WHEN value & 256 THEN ' G' ELSE '' END ||
    CASE WHEN value < 0 THEN ' NX' ELSE '' END) AS flags,
  (value & 0xffffffffff000) >> 12 AS target_pfn FROM raw_page_table_entry;
CREATE VIEW kvm_event AS SELECT id, vcpu, tsc, {name kvm_event event} AS name, reason,
  CASE WHEN rip IS NOT NULL THEN {hex rip} END AS rip,
  CASE WHEN address IS NOT NULL THEN {hex address} END AS address, code, tsc_end, code2,
  {symbol rip} AS symbol FROM raw_kvm_event;
CREATE VIEW eviction AS SELECT id, tsc_begin, tsc_end, pages FROM raw_interval WHERE kind = 1;
CREATE VIEW dirty_interval AS SELECT id, tsc_begin, tsc_end, pages FROM raw_interval WHERE kind = 2;
CREATE VIEW stat_sample AS SELECT id, tsc, {name sample_kind kind} AS kind, name, value, ticks FROM raw_sample;
CREATE VIEW trap AS SELECT id, tsc, vcpu, method, {hex gva} AS gva, error_code, {hex rip} AS rip,
  CASE WHEN kind IS NOT NULL THEN {name fault_kind kind} END AS kind FROM raw_trap;
CREATE VIEW written_interval AS SELECT id, tsc_begin, tsc_end, pages FROM raw_interval WHERE kind = 3;
CREATE VIEW frame_event AS SELECT id, tsc, {name frame_op op} AS op, pfn, frame_order, {name zone zone} AS zone,
  {name migrate_type migratetype} AS migratetype, printf('0x%x', gfp) AS gfp, {name owner owner} AS owner,
  (SELECT text FROM raw_string s WHERE s.id = call_site) AS call_site, frames, vcpu, pid FROM raw_frame_event;
CREATE VIEW slab_event AS SELECT id, tsc, {name slab_op op} AS op,
  (SELECT text FROM raw_string s WHERE s.id = cache) AS cache, {hex address} AS address, bytes_requested, bytes_allocated,
  (SELECT text FROM raw_string s WHERE s.id = call_site) AS call_site, printf('0x%x', gfp) AS gfp FROM raw_slab_event;
CREATE VIEW vmalloc_event AS SELECT id, tsc, {name vmalloc_op op} AS op, {hex address} AS address, size, frames, flags, pfn,
  (SELECT text FROM raw_string s WHERE s.id = call_site) AS call_site FROM raw_vmalloc_event;
CREATE VIEW vma_event AS SELECT id, tsc, pid, {name vma_op op} AS op, {hex start} AS start, {hex end} AS end,
  CASE WHEN prot & 1 THEN 'r' ELSE '-' END || CASE WHEN prot & 2 THEN 'w' ELSE '-' END ||
    CASE WHEN prot & 4 THEN 'x' ELSE '-' END AS prot,
  trim(CASE WHEN flags & 1 THEN 'shared ' ELSE '' END || CASE WHEN flags & 2 THEN 'private ' ELSE '' END ||
    CASE WHEN flags & 32 THEN 'anonymous ' ELSE '' END || CASE WHEN flags & 256 THEN 'growsdown' ELSE '' END) AS flags,
  (SELECT text FROM raw_string s WHERE s.id = file) AS file, file_offset, vcpu FROM raw_vma_event;
CREATE VIEW syscall AS SELECT id, pid, tsc_begin, tsc_end, number, {name syscall number} AS name,
  printf('0x%x, 0x%x, 0x%x, 0x%x, 0x%x', arg0, arg1, arg2, arg3, arg4) ||
    CASE WHEN arg5 IS NOT NULL THEN printf(', 0x%x', arg5) ELSE '' END AS args,
  result, vcpu FROM raw_syscall;
CREATE VIEW process AS SELECT p.id, p.pid, (SELECT text FROM raw_string s WHERE s.id = p.program) AS program,
  p.tsc AS tsc_begin, e.tsc AS tsc_end, {hex p.entry} AS entry, e.status AS wait_status, e.min_flt, e.maj_flt
  FROM raw_process p LEFT JOIN raw_process e ON e.id =
    (SELECT min(id) FROM raw_process x WHERE x.pid = p.pid AND x.op = 2 AND x.id > p.id) WHERE p.op = 1;
CREATE VIEW snapshot AS SELECT id, tsc, {name moment moment} AS moment, name, text, pid FROM raw_snapshot;
CREATE VIEW vma_snapshot AS SELECT record, {name moment moment} AS moment, pid, {hex start} AS start, {hex end} AS end,
  CASE WHEN bits & 1 THEN 'r' ELSE '-' END || CASE WHEN bits & 2 THEN 'w' ELSE '-' END ||
    CASE WHEN bits & 4 THEN 'x' ELSE '-' END || CASE WHEN bits & 8 THEN 's' ELSE 'p' END AS perms,
  (SELECT text FROM raw_string s WHERE s.id = v.name) AS name, rss, anonymous, zero, swap FROM raw_vma_snapshot v;
CREATE VIEW counter_snapshot AS SELECT record, {name moment moment} AS moment, {name snapshot_kind kind} AS kind, pid,
  name, value FROM raw_counter;
CREATE VIEW console AS SELECT id, tsc, text, stream, bytes, pid FROM raw_console;
CREATE VIEW message AS SELECT id, tsc, kind, text FROM raw_message;
CREATE VIEW crash AS SELECT id, tsc, vcpu, pid, signal, code, {name crash_cause cause} AS cause,
  CASE WHEN address <> 0 OR cause IN (1, 5) THEN {hex address} END AS address, vector, error_code,
  {hex instruction} AS instruction, hex(code_bytes) AS code_bytes, disassembly, symbol, {hex stack_start} AS stack_start,
  stack FROM raw_crash;
CREATE VIEW crash_register AS SELECT crash, name, {hex value} AS value FROM raw_crash_register;
CREATE VIEW crash_area AS SELECT crash, role, {hex start} AS start, {hex end} AS end,
  CASE WHEN bits & 1 THEN 'r' ELSE '-' END || CASE WHEN bits & 2 THEN 'w' ELSE '-' END ||
    CASE WHEN bits & 4 THEN 'x' ELSE '-' END || CASE WHEN bits & 128 THEN 's' ELSE 'p' END AS perms,
  (bits >> 8) & 1 AS grows_down, (SELECT text FROM raw_string s WHERE s.id = a.name) AS name FROM raw_crash_area a;
CREATE VIEW crash_frame AS SELECT crash, number, depth, {hex address} AS address, found, symbol, function, file, line,
  inlined FROM raw_crash_frame;
CREATE VIEW check_result AS SELECT name, expected, actual, ok, terms FROM raw_check ORDER BY id;
CREATE VIEW check_skipped AS SELECT name, reason FROM raw_check_skipped ORDER BY id;
";

/// Creates tables, code tables and views in an empty database.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(TABLES)?;
    macro_rules! codes {
        ($($table:literal: $type:ty),+ $(,)?) => { $(
            fill(conn, $table, <$type>::ALL.iter().map(|code| (i64::from(code.0), code.name().unwrap_or_default())))?;
        )+ };
    }
    codes!(
        "fault_kind": FaultKind,
        "frame_op": FrameOp,
        "zone": Zone,
        "migrate_type": MigrateType,
        "slab_op": SlabOp,
        "vma_op": VmaOp,
        "vmalloc_op": VmallocOp,
        "process_op": ProcessOp,
        "bulk_kind": BulkKind,
        "snapshot_kind": SnapshotKind,
        "moment": Moment,
        "crash_cause": CrashCause,
    );
    fill(conn, "sample_kind", SampleKind::ALL.into_iter().map(|kind| (kind as i64, kind.name())))?;
    fill(conn, "host_fault_kind", HostFaultKind::NAMES.iter().map(|(kind, name)| (*kind as i64, *name)))?;
    fill(conn, "run_bound", RunBound::ALL.iter().map(|bound| (*bound as i64, bound.name())))?;
    let host_owners =
        [(OWNER_TRACE_WINDOW, "trace_window"), (OWNER_OUTSIDE_RAM, "outside_ram"), (OWNER_UNKNOWN, "unknown")];
    let guest_owners = Owner::ALL.iter().map(|owner| (u16::from(owner.0), owner.name().unwrap_or_default()));
    fill(conn, "owner", guest_owners.chain(host_owners).map(|(code, name)| (i64::from(code), name)))?;
    let mut insert = conn.prepare("INSERT INTO code_syscall VALUES (?, ?)")?;
    for sysno in Sysno::iter() {
        insert.execute(params![sysno.id(), sysno.name()])?;
    }
    conn.execute_batch(&expand(VIEWS))?;
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", SCHEMA_VERSION)
}

fn fill<'a>(conn: &Connection, table: &str, codes: impl Iterator<Item = (i64, &'a str)>) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("CREATE TABLE code_{table}(code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"))?;
    let mut insert = conn.prepare(&format!("INSERT INTO code_{table} VALUES (?, ?)"))?;
    for (code, name) in codes {
        insert.execute(params![code, name])?;
    }
    Ok(())
}

/// Replaces `{hex COLUMN}`, `{symbol COLUMN}` and `{name TABLE COLUMN}` by SQL.
fn expand(sql: &str) -> String {
    let mut expanded = String::with_capacity(sql.len() * 2);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        let (word, after) = after.split_once('}').unwrap_or((after, ""));
        expanded.push_str(before);
        match word.split(' ').collect::<Vec<_>>()[..] {
            ["symbol", column] => {
                expanded.push_str(&format!("(SELECT s.name FROM raw_symbol s WHERE s.address = {column})"));
            }
            ["hex", column] => expanded.push_str(&format!("printf('0x%016x', {column})")),
            ["name", table, column] => expanded.push_str(&format!(
                "COALESCE((SELECT c.name FROM code_{table} c WHERE c.code = {column}), 'unknown-' || {column})"
            )),
            _ => unreachable!("the views are constants, and a test creates them"),
        }
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_can_be_read() {
        let conn = Connection::open_in_memory().expect("memory");
        create(&conn).expect("the schema is valid");
        let mut views = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'").expect("valid");
        let names: Vec<String> =
            views.query_map([], |row| row.get(0)).expect("runs").map(|name| name.expect("text")).collect();
        assert_eq!(names.len(), 29);
        for name in names {
            conn.query_row(&format!("SELECT count(*) FROM {name}"), [], |_| Ok(())).expect(&name);
            conn.prepare(&format!("SELECT * FROM {name}")).expect(&name);
        }
    }

    #[test]
    fn addresses_order_as_text() {
        let conn = Connection::open_in_memory().expect("memory");
        create(&conn).expect("the schema is valid");
        for (id, gpa) in [(1, -1i64), (2, 0x1000), (3, 0x7fff_0000_0000)] {
            conn.execute(
                "INSERT INTO raw_host_fault VALUES (?, 0, 1, 2, ?, 1, 1, NULL, NULL, NULL, NULL, 1, 4096, NULL, NULL, NULL, NULL, NULL)",
                params![id, gpa],
            )
            .expect("insert");
        }
        let order: Vec<i64> = conn
            .prepare("SELECT id FROM host_fault ORDER BY gpa")
            .and_then(|mut rows| rows.query_map([], |row| row.get(0))?.collect())
            .expect("query");
        assert_eq!(order, [2, 3, 1]);
    }
}
