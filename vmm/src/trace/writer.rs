//! Inputs to rows: what the writer thread does with each observation, inside a transaction.

mod memory;

use std::collections::HashMap;

use pagelab_abi::{
    code::{BulkKind, ProcessOp, SnapshotKind},
    event::{Bulk, GuestFault},
    record::Record,
};
use rusqlite::{Connection, Params, params, types::Value};

use super::{
    bulk::Parts,
    decode::{Decoded, Decoder, Event},
    input::{Ending, HostFault, Images, Input, Interval, KvmEvent, Sample, Trap},
    join, same_fault, schema,
    snapshot::{self, Halves},
    symbolize,
};
use crate::{
    analysis::conservation::{self, Evidence},
    crash::{self, Diagnosis, Origin, Remains},
};

/// System calls that may be under way at once; beyond it their ends are not matched.
const MAX_OPEN_CALLS: usize = 4096;
/// Broken rules that are written down one by one; the rest are only counted.
const MAX_PROTOCOL_ERRORS: u64 = 1000;
/// What keys of the `run` view end with whose values are numbers.
const NUMERIC_KEYS: &[&str] = &["_bytes", "_ns", "_hz", "_ticks", "seed", "exit_status", "protocol_errors", "trapped"];

/// What a key of the `run` view has in it that is a counter of KVM's or of a source's, a number too: `kvm.exits`.
const COUNTER_MARK: char = '.';
/// Codes of `raw_interval.kind`.
const EVICTION: u8 = 1;
const DIRTY: u8 = 2;
const WRITTEN: u8 = 3;

/// The open run file and what later inputs need of earlier ones.
pub(super) struct Writer {
    conn: Connection,
    decoder: Decoder,
    parts: Parts,
    halves: Halves,
    open_calls: HashMap<(u16, u32), i64>,
    sources: Vec<&'static str>,
    kvm_events: Vec<&'static str>,
    images: Images,
    protocol_errors: u64,
    /// The crash of the program, kept until its names can be found.
    crash: Option<(Origin, Remains)>,
    rows: usize,
}

impl Writer {
    /// A writer on an empty database: schema, facts and `complete` = 0 are written at once.
    pub(super) fn create(conn: Connection, facts: &[(&str, String)]) -> rusqlite::Result<Self> {
        conn.set_prepared_statement_cache_capacity(32);
        conn.execute_batch("BEGIN")?;
        schema::create(&conn)?;
        let mut writer = Writer {
            conn,
            decoder: Decoder::new(),
            parts: Parts::default(),
            halves: Halves::default(),
            open_calls: HashMap::new(),
            sources: Vec::new(),
            kvm_events: Vec::new(),
            images: Images::default(),
            protocol_errors: 0,
            crash: None,
            rows: 0,
        };
        writer.fact("schema_version", schema::SCHEMA_VERSION)?;
        writer.fact("pagelab_version", env!("CARGO_PKG_VERSION").to_owned())?;
        writer.fact("complete", 0)?;
        for (key, value) in facts {
            writer.text_fact(key, value)?;
        }
        writer.conn.execute_batch("COMMIT")?;
        Ok(writer)
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.rows = 0;
        self.conn.execute_batch("BEGIN IMMEDIATE")
    }

    /// Closes the transaction: what was taken since [`Writer::begin`] is in the file.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.conn.execute_batch("COMMIT")
    }

    /// Rows written since the transaction began.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes one observation.
    pub(super) fn take(&mut self, input: Input) -> rusqlite::Result<()> {
        match input {
            Input::Records(records) => records.iter().try_for_each(|record| self.record(record)),
            Input::Bulk { record, bulk, bytes } => self.bulk(&record, &bulk, bytes),
            Input::HostFault(fault) => self.host_fault(&fault),
            Input::HostFaults(faults) => faults.iter().try_for_each(|fault| self.host_fault(fault)),
            Input::KvmEvent(event) => self.kvm_event(event),
            Input::Console { tsc, stream, bytes } => self.console(tsc, 0, stream, &bytes),
            Input::Eviction(interval) => self.interval(EVICTION, &interval),
            Input::Dirty(interval) => self.interval(DIRTY, &interval),
            Input::Sample(sample) => self.sample(&sample),
            Input::Present(bound, ranges) => self.present(bound, &ranges),
            Input::PageTables(tables) => self.page_tables(&tables),
            Input::Trap(trap) => self.trap(&trap),
            Input::Message { kind, text } => self.message(None, None, kind, &text),
            Input::Written(interval) => self.interval(WRITTEN, &interval),
            Input::ProtocolError(text) => self.protocol_error(&text),
            Input::Images(images) => {
                self.images = images;
                Ok(())
            }
            Input::Fact(key, value) => self.text_fact(key, &value),
        }
    }

    /// Writes the end: the ending's facts, the join, the conservation check. Inside a transaction.
    pub(super) fn end(&mut self, ending: &Ending) -> rusqlite::Result<()> {
        for (key, value) in &ending.facts {
            self.text_fact(key, value)?;
        }
        let health = self.decoder.health();
        let told =
            ending.facts.iter().find(|(key, _)| key == "protocol_errors").and_then(|(_, value)| value.parse().ok());
        let bad_bulk = self.parts.dropped + self.parts.unfinished() + health.bad_strings;
        let protocol_errors = self.protocol_errors.max(told.unwrap_or(0)) + bad_bulk;
        self.fact("exit_status", i64::from(ending.exit_status))?;
        self.fact("wall_ns", ending.wall_ns.cast_signed())?;
        self.fact("clock_error_ns", ending.clock_error_ns.cast_signed())?;
        self.fact("tsc_hz", ending.tsc_hz.cast_signed())?;
        self.fact("events_lost", (health.lost + lost_by_sources(ending)).cast_signed())?;
        self.fact("events_decoded", health.records.cast_signed())?;
        self.fact("protocol_errors", protocol_errors.cast_signed())?;
        if let Some(diagnosis) = &ending.diagnosis {
            self.fact("diagnosis", diagnosis.clone())?;
        }
        if let Some(copies) = &ending.copies {
            self.fact("uffd_copied", copies.copied.cast_signed())?;
            self.fact("uffd_continued", copies.continued.cast_signed())?;
            self.fact("uffd_evicted", copies.evicted.cast_signed())?;
            self.fact("uffd_already_there", copies.already_there.cast_signed())?;
            self.fact("uffd_present_at_start", copies.present_at_start.cast_signed())?;
            self.fact("uffd_present_at_end", copies.present_at_end.cast_signed())?;
        }
        if let Some(source) = same_fault::primary_source(&self.conn)? {
            same_fault::link(&self.conn, &source)?;
            self.fact("host_fault_source", source)?;
        }
        join::join(&self.conn)?;
        symbolize::symbolize(&self.conn, &self.images)?;
        self.diagnose()?;
        let evidence = Evidence { health, copies: ending.copies, protocol_errors, complete: ending.complete };
        conservation::check(&self.conn, &evidence)?;
        self.fact("complete", i64::from(ending.complete))
    }

    fn insert(&mut self, sql: &str, values: impl Params) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute(values)?;
        self.rows += 1;
        Ok(())
    }

    fn fact(&mut self, key: &str, value: impl Into<Value>) -> rusqlite::Result<()> {
        let value: Value = value.into();
        self.insert("INSERT OR REPLACE INTO raw_run VALUES (?, ?)", params![key, value])
    }

    fn text_fact(&mut self, key: &str, value: &str) -> rusqlite::Result<()> {
        let numeric = key.contains(COUNTER_MARK) || NUMERIC_KEYS.iter().any(|end| key.ends_with(end));
        match value.parse::<i64>() {
            Ok(number) if numeric => self.fact(key, number),
            _ => self.fact(key, value.to_owned()),
        }
    }

    fn record(&mut self, record: &Record) -> rusqlite::Result<()> {
        let Some(Decoded { id, tsc, vcpu, pid, flags, event }) = self.decoder.decode(record) else { return Ok(()) };
        let time = tsc.cast_signed();
        match event {
            Event::Boot(boot) => {
                self.fact("guest_abi_version", i64::from(boot.abi_version))?;
                self.fact("guest_boot_tsc", time)?;
                self.fact("managed_frames_at_boot", boot.managed_frames.cast_signed())
            }
            Event::String { id, text } => self.insert("INSERT OR IGNORE INTO raw_string VALUES (?, ?)", params![id, text]),
            Event::GuestFault(GuestFault { gva, rip, vma_start, ticks, pfn, error_code, kind, order }) => self.insert(
                "INSERT INTO raw_guest_fault VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    id,
                    vcpu,
                    pid,
                    time,
                    tsc.saturating_add(ticks).cast_signed(),
                    gva.cast_signed(),
                    error_code,
                    rip.cast_signed(),
                    kind.0,
                    flags,
                    vma_start.cast_signed(),
                    pfn,
                    order
                ],
            ),
            Event::Frame(frame) => self.insert(
                "INSERT INTO raw_frame_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    id,
                    vcpu,
                    pid,
                    time,
                    frame.op.0,
                    frame.pfn,
                    frame.frames,
                    frame.order,
                    frame.zone.0,
                    frame.migratetype.0,
                    frame.gfp,
                    frame.owner.0,
                    frame.call_site
                ],
            ),
            Event::Vma(vma) => self.insert(
                "INSERT INTO raw_vma_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    id,
                    vcpu,
                    pid,
                    time,
                    vma.op.0,
                    vma.start.cast_signed(),
                    vma.end.cast_signed(),
                    vma.offset.cast_signed(),
                    vma.prot,
                    vma.map_flags,
                    vma.file
                ],
            ),
            Event::SyscallEnter { number, enter } => {
                let [a, b, c, d, e] = enter.args.map(u64::cast_signed);
                if self.open_calls.len() < MAX_OPEN_CALLS || self.open_calls.contains_key(&(vcpu, pid)) {
                    self.open_calls.insert((vcpu, pid), id);
                }
                self.insert(
                    "INSERT INTO raw_syscall VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                    params![id, vcpu, pid, time, number, a, b, c, d, e],
                )
            }
            Event::SyscallExit { number, exit } => match self.open_calls.remove(&(vcpu, pid)) {
                Some(enter) => self.insert(
                    "UPDATE raw_syscall SET tsc_end = ?2, arg5 = ?3, result = ?4 WHERE id = ?1",
                    params![enter, time, exit.arg6.cast_signed(), exit.result],
                ),
                None => self.insert(
                    "INSERT INTO raw_syscall(id, vcpu, pid, tsc_end, number, arg5, result) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    params![id, vcpu, pid, time, number, exit.arg6.cast_signed(), exit.result],
                ),
            },
            Event::Process(process) => {
                if process.op == ProcessOp::Exit {
                    self.open_calls.remove(&(vcpu, pid));
                }
                self.insert(
                    "INSERT INTO raw_process VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    params![
                        id,
                        vcpu,
                        pid,
                        time,
                        process.op.0,
                        process.status,
                        process.program,
                        process.min_flt.cast_signed(),
                        process.maj_flt.cast_signed(),
                        process.entry.cast_signed()
                    ],
                )
            }
            Event::Slab(slab) => self.insert(
                "INSERT INTO raw_slab_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    id,
                    time,
                    slab.op.0,
                    slab.cache,
                    slab.address.cast_signed(),
                    slab.bytes_requested,
                    slab.bytes_allocated,
                    slab.gfp,
                    slab.call_site
                ],
            ),
            Event::Vmalloc(area) => self.insert(
                "INSERT INTO raw_vmalloc_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    id,
                    time,
                    area.op.0,
                    area.address.cast_signed(),
                    area.size.cast_signed(),
                    area.frames,
                    area.flags,
                    area.pfn,
                    area.call_site
                ],
            ),
            Event::Bulk(_) => Ok(()),
            Event::Unknown(kind) => self.insert("INSERT INTO raw_unknown VALUES (?, ?, ?)", params![id, time, kind]),
        }
    }

    fn bulk(&mut self, record: &Record, bulk: &Bulk, bytes: Vec<u8>) -> rusqlite::Result<()> {
        let Some(bytes) = self.parts.add(bulk, bytes) else { return Ok(()) };
        let position = self.decoder.health().records.cast_signed();
        let time = record.tsc.cast_signed();
        match bulk.kind {
            BulkKind::Console => self.console(record.tsc, record.pid, bulk.name, &bytes),
            BulkKind::Snapshot => {
                let origin =
                    snapshot::Origin { record: position, tsc: record.tsc, pid: record.pid, moment: bulk.moment.0 };
                let kind = SnapshotKind(bulk.name);
                let decoder = &self.decoder;
                let name = |id| decoder.string(id).map(str::as_bytes);
                self.rows += 1;
                if snapshot::store(&self.conn, origin, kind, &bytes, &name, &mut self.halves)? {
                    return Ok(());
                }
                self.protocol_error(&format!("a {kind:?} snapshot of {} bytes is malformed", bytes.len()))
            }
            BulkKind::Crash => {
                let Some(remains) = Remains::decode(&bytes) else {
                    return self.protocol_error(&format!("a crash record of {} bytes is malformed", bytes.len()));
                };
                let origin = Origin { record: position, tsc: record.tsc, vcpu: record.vcpu, pid: record.pid };
                self.crash = Some((origin, remains));
                Ok(())
            }
            kind => {
                let name = kind.name().map_or_else(|| format!("unknown-{}", kind.0), str::to_owned);
                let text = String::from_utf8_lossy(&bytes);
                self.message(Some(position), Some(time), &name, &text)
            }
        }
    }

    /// Stores the program's crash with what its file says of it, and the text for people.
    fn diagnose(&mut self) -> rusqlite::Result<()> {
        let Some((origin, remains)) = self.crash.take() else { return Ok(()) };
        let entry = symbolize::entry(&self.conn)?;
        crash::store(&self.conn, origin, &remains, &self.images.program, entry)?;
        let Some(diagnosis) = Diagnosis::read(&self.conn)? else { return Ok(()) };
        let text = crash::render(&diagnosis);
        self.message(Some(origin.record), Some(origin.tsc.cast_signed()), "diagnosis", &text)
    }

    fn console(&mut self, tsc: u64, pid: u32, stream: u8, bytes: &[u8]) -> rusqlite::Result<()> {
        let position = self.decoder.health().records.cast_signed();
        self.insert(
            "INSERT INTO raw_console VALUES ((SELECT max(COALESCE(max(id), 0) + 1, ?) FROM raw_console), ?, ?, ?, ?, ?)",
            params![position, tsc.cast_signed(), pid, stream, String::from_utf8_lossy(bytes), bytes],
        )
    }

    fn host_fault(&mut self, fault: &HostFault) -> rusqlite::Result<()> {
        let source = match self.sources.iter().position(|source| *source == fault.source) {
            Some(source) => source,
            None => {
                self.sources.push(fault.source);
                self.insert("INSERT INTO code_source VALUES (?, ?)", params![self.sources.len() - 1, fault.source])?;
                self.sources.len() - 1
            }
        };
        self.insert(
            "INSERT INTO raw_host_fault VALUES (NULL, ?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
            params![
                fault.vcpu,
                fault.tsc_begin.cast_signed(),
                fault.tsc_end.cast_signed(),
                fault.gpa.cast_signed(),
                fault.access as u8,
                source,
                fault.rip.map(u64::cast_signed),
                fault.error_code.map(u64::cast_signed),
                fault.kind as u8,
                fault.bytes.cast_signed(),
                fault.gva.map(u64::cast_signed),
                fault.stage.map(|stage| stage as u8),
            ],
        )
    }

    fn kvm_event(&mut self, event: KvmEvent) -> rusqlite::Result<()> {
        let name = match self.kvm_events.iter().position(|name| *name == event.name) {
            Some(name) => name,
            None => {
                self.kvm_events.push(event.name);
                let code = self.kvm_events.len() - 1;
                self.insert("INSERT INTO code_kvm_event VALUES (?, ?)", params![code, event.name])?;
                code
            }
        };
        self.insert(
            "INSERT INTO raw_kvm_event VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                event.vcpu,
                event.tsc.cast_signed(),
                event.tsc_end.map(u64::cast_signed),
                name,
                event.reason,
                event.rip.map(u64::cast_signed),
                event.address.map(u64::cast_signed),
                event.code.map(u64::cast_signed),
                event.code2.map(u64::cast_signed),
            ],
        )
    }

    fn interval(&mut self, kind: u8, interval: &Interval) -> rusqlite::Result<()> {
        let Interval { tsc_begin, tsc_end, pages } = interval;
        self.insert(
            "INSERT INTO raw_interval VALUES (NULL, ?, ?, ?, ?)",
            params![kind, tsc_begin.cast_signed(), tsc_end.cast_signed(), pages.cast_signed()],
        )
    }

    fn sample(&mut self, sample: &Sample) -> rusqlite::Result<()> {
        let Sample { tsc, kind, name, value, ticks } = sample;
        self.insert(
            "INSERT INTO raw_sample VALUES (NULL, ?, ?, ?, ?, ?)",
            params![tsc.cast_signed(), *kind as u8, name, value.cast_signed(), ticks.map(u64::cast_signed)],
        )
    }

    fn trap(&mut self, trap: &Trap) -> rusqlite::Result<()> {
        self.insert(
            "INSERT INTO raw_trap VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
            params![
                trap.vcpu,
                trap.tsc.cast_signed(),
                trap.method,
                trap.gva.cast_signed(),
                trap.error_code.cast_signed(),
                trap.rip.cast_signed(),
                trap.kind.map(|kind| kind.0),
            ],
        )
    }

    fn protocol_error(&mut self, text: &str) -> rusqlite::Result<()> {
        self.protocol_errors += 1;
        if self.protocol_errors > MAX_PROTOCOL_ERRORS {
            return Ok(());
        }
        self.message(None, None, "protocol_error", text)
    }

    fn message(&mut self, record: Option<i64>, tsc: Option<i64>, kind: &str, text: &str) -> rusqlite::Result<()> {
        self.insert("INSERT INTO raw_message VALUES (NULL, ?, ?, ?, ?)", params![record, tsc, kind, text])
    }
}

/// Events that sources had to drop, as they say in facts such as `tracepoint.lost`.
fn lost_by_sources(ending: &Ending) -> u64 {
    let lost = ending.facts.iter().filter(|(key, _)| key.ends_with(".lost"));
    lost.filter_map(|(_, count)| count.parse::<u64>().ok()).sum()
}
