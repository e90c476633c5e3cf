//! A synthetic guest: records, bulk transfers and host faults as a sound run would send them, with every number in
//! reach of a test that wants to break one.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

use pagelab::trace::{Access, CopyTally, Ending, HostFault, Input, Recorder};
use pagelab_abi::{
    code::{BulkKind, FaultKind, FrameOp, MigrateType, Moment, Owner, ProcessOp, SnapshotKind, VmaOp, Zone},
    event::{self, Payload},
    record::Record,
    snapshot::{MemHeader, MissingSyscall, MmHeader, VmaEntry, ZoneEntry},
    vm_flags::VmFlags,
    vmstat::{self, Counter},
};
use rusqlite::Connection;
use zerocopy::IntoBytes;

/// Frames of RAM of the synthetic guest.
pub const RAM: u64 = 1024;
/// Frames it announces as taken by its kernel, from 0.
pub const KERNEL: u32 = 300;
/// First frame its faults are given.
pub const FIRST: u32 = 400;
/// First address its faults touch.
pub const ADDRESS: u64 = 0x7fff_f000_0000;
/// Ticks between two events.
pub const TICK: u64 = 100;
/// The program.
pub const PID: u32 = 1;

/// What the guest will send, and what it will say of itself at the end.
pub struct Guest {
    pub inputs: Vec<Input>,
    pub seq: u32,
    pub tsc: u64,
    pub mm: MmHeader,
    pub vmas: Vec<VmaEntry>,
    pub memory: MemHeader,
    pub zone: ZoneEntry,
    pub vmstat: [u64; vmstat::COUNT],
    pub min_flt: u64,
    pub maj_flt: u64,
    pub ending: Ending,
    pub facts: Vec<(&'static str, String)>,
}

impl Guest {
    /// A guest that has booted and started its program.
    pub fn booted() -> Self {
        let managed = RAM - u64::from(KERNEL);
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"demo");
        let mut zone =
            ZoneEntry { zone: Zone::Dma, present: RAM, managed, free: managed, spanned: RAM, ..Default::default() };
        zone.free_blocks[0] = managed;
        let mut guest = Guest {
            inputs: Vec::new(),
            seq: 0,
            tsc: 1000,
            mm: MmHeader { pid: PID, comm, ..Default::default() },
            vmas: Vec::new(),
            memory: MemHeader { zone_count: 1, ram: RAM, managed, free: managed, ..Default::default() },
            zone,
            vmstat: [0; vmstat::COUNT],
            min_flt: 0,
            maj_flt: 0,
            ending: Ending {
                exit_status: 0,
                complete: true,
                diagnosis: None,
                wall_ns: 5_000_000,
                clock_error_ns: 40,
                tsc_hz: 1_000_000_000,
                copies: Some(CopyTally { present_at_start: 17, present_at_end: 17, ..Default::default() }),
                facts: vec![("kernel_release".into(), "6.18.0".into())],
            },
            facts: [
                ("host_mmu", "shadow"),
                ("guest_memory_bytes", "4194304"),
                ("program", "demo"),
                ("args", "--pages 4"),
                ("seed", "7"),
                ("sources", "guest,uffd"),
            ]
            .map(|(key, value)| (key, value.to_owned()))
            .into(),
        };
        guest.record(event::Boot {
            abi_version: pagelab_abi::ABI_VERSION,
            padding: 0,
            memory_bytes: RAM * 4096,
            managed_frames: managed,
            reserved: [0; 2],
        });
        guest.string(1, "/bin/demo");
        guest.string(2, "guest/mm/src/frame/alloc.rs:42");
        guest.string(3, "[stack]");
        guest.announce(0, KERNEL, Owner::Kernel);
        guest.record(event::Process {
            op: ProcessOp::Exec,
            padding: [0; 3],
            status: 0,
            program: 1,
            padding2: 0,
            min_flt: 0,
            maj_flt: 0,
            entry: 0x40_1000,
        });
        guest.map(ADDRESS, ADDRESS + 0x20_0000, 0);
        guest
    }

    /// A whole sound run with `faults` anonymous write faults, each with its host fault.
    pub fn sound(faults: u32) -> Self {
        let mut guest = Guest::booted();
        for fault in 0..faults {
            guest.anon_fault(fault);
        }
        guest.syscall_write(b"hello\n");
        guest
    }

    /// Adds one record.
    pub fn record<T: Payload>(&mut self, payload: T) {
        self.record_with(payload, 0, 0, self.tsc);
    }

    /// Adds one record with header fields of its own.
    pub fn record_with<T: Payload>(&mut self, payload: T, flags: u8, aux: u32, tsc: u64) {
        let record =
            Record { kind: T::KIND, flags, vcpu: 0, pid: PID, tsc, seq: self.seq, aux, payload: payload.to_words() };
        self.inputs.push(Input::Records(vec![record]));
        self.seq = self.seq.wrapping_add(1);
        self.tsc += TICK;
    }

    pub fn string(&mut self, id: u32, text: &str) {
        for (part, chunk) in text.as_bytes().chunks(32).enumerate() {
            let mut bytes = [0; 32];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.record(event::StringPart { id, length: text.len() as u16, offset: part as u16 * 32, bytes });
        }
    }

    pub fn announce(&mut self, pfn: u32, frames: u32, owner: Owner) {
        self.frame(FrameOp::Announce, pfn, frames, owner);
    }

    /// Takes a frame, and keeps the guest's own counts.
    pub fn alloc(&mut self, pfn: u32, owner: Owner) {
        self.frame(FrameOp::Alloc, pfn, 1, owner);
        self.memory.free -= 1;
        self.zone.free -= 1;
        self.zone.free_blocks[0] -= 1;
    }

    /// Gives a frame back, and keeps the guest's own counts.
    pub fn free(&mut self, pfn: u32, owner: Owner) {
        self.frame(FrameOp::Free, pfn, 1, owner);
        self.memory.free += 1;
        self.zone.free += 1;
        self.zone.free_blocks[0] += 1;
    }

    pub fn frame(&mut self, op: FrameOp, pfn: u32, frames: u32, owner: Owner) {
        self.record(event::Frame {
            pfn,
            frames,
            op,
            order: 0,
            zone: Zone::Dma,
            migratetype: MigrateType::Movable,
            owner,
            padding: [0; 3],
            gfp: 0x100,
            call_site: 2,
            reserved: [0; 2],
        });
    }

    pub fn map(&mut self, start: u64, end: u64, file: u32) {
        self.record(event::Vma {
            start,
            end,
            offset: 0,
            op: VmaOp::Map,
            prot: 3,
            padding: 0,
            map_flags: 0x22,
            file,
            reserved: 0,
        });
        let bits = (VmFlags::READ | VmFlags::WRITE).bits();
        self.vmas.push(VmaEntry { start, end, bits, name: file, ..Default::default() });
    }

    /// A host fault at the present time.
    pub fn host_fault(&mut self, gpa: u64) {
        let (tsc_begin, tsc_end) = (self.tsc, self.tsc + TICK / 2);
        let access = Access::Write;
        self.inputs.push(Input::HostFault(HostFault {
            vcpu: Some(0),
            tsc_begin,
            tsc_end,
            gpa,
            access,
            source: "uffd",
            bytes: 4096,
            ..HostFault::default()
        }));
        self.tsc += TICK;
        if let Some(copies) = &mut self.ending.copies {
            copies.faults += 1;
            copies.copied += 1;
            copies.present_at_end += 1;
        }
    }

    /// An anonymous write fault on page `number` that costs a frame and a host fault.
    pub fn anon_fault(&mut self, number: u32) {
        let begin = self.tsc;
        self.tsc += TICK;
        self.alloc(FIRST + number, Owner::Anon);
        self.host_fault(u64::from(FIRST + number) << 12);
        self.fault(FaultKind::AnonWrite, ADDRESS + (u64::from(number) << 12), FIRST + number, begin, 0);
        self.count_fault(false);
        self.vmas[0].rss += 1;
        self.vmas[0].anonymous += 1;
        self.mm.rss_anon += 1;
    }

    /// A mapping that is read once and unmapped.
    pub fn gone(&mut self) {
        self.map(0x1_0000, 0x2_0000, 0);
        self.vmas.pop();
        let begin = self.tsc;
        self.fault(FaultKind::AnonRead, 0x1_5000, 7, begin, 0);
        self.count_fault(false);
    }

    /// A fault record from `begin` until now.
    pub fn fault(&mut self, kind: FaultKind, gva: u64, pfn: u32, begin: u64, flags: u8) {
        let ticks = self.tsc - begin;
        let vma_start = match kind {
            FaultKind::SegvMapErr => 0,
            _ if gva < ADDRESS => 0x1_0000,
            _ => ADDRESS,
        };
        let fault = event::GuestFault { gva, rip: 0x40_1234, vma_start, ticks, pfn, error_code: 6, kind, order: 0 };
        self.record_with(fault, flags, 0, begin);
    }

    /// Counts a fault as the guest's own counters do.
    pub fn count_fault(&mut self, major: bool) {
        self.vmstat[Counter::Pgfault as usize] += 1;
        if major {
            self.vmstat[Counter::Pgmajfault as usize] += 1;
            self.maj_flt += 1;
        } else {
            self.min_flt += 1;
        }
    }

    pub fn syscall_write(&mut self, bytes: &[u8]) {
        self.record_with(event::SyscallEnter { args: [1, 0x40_2000, bytes.len() as u64, 0, 0] }, 0, 1, self.tsc);
        self.bulk(BulkKind::Console, 1, Moment::default(), bytes, bytes.len().max(1));
        let exit = event::SyscallExit { result: bytes.len() as i64, arg6: 0, reserved: [0; 3] };
        self.record_with(exit, 0, 1, self.tsc);
    }

    /// A bulk transfer in parts of at most `part` bytes.
    pub fn bulk(&mut self, kind: BulkKind, name: u8, moment: Moment, bytes: &[u8], part: usize) {
        let parts: Vec<_> = bytes.chunks(part).collect();
        for (number, chunk) in parts.iter().enumerate() {
            let more = u8::from(number + 1 < parts.len());
            let bulk =
                event::Bulk { gpa: 0x1000, length: chunk.len() as u32, kind, name, moment, more, reserved: [0; 3] };
            self.record(bulk);
            let Some(Input::Records(records)) = self.inputs.last() else { unreachable!("a record was just added") };
            let record = records[0];
            self.inputs.push(Input::Bulk { record, bulk, bytes: chunk.to_vec() });
        }
    }

    pub fn snapshot(&mut self, kind: SnapshotKind, bytes: &[u8]) {
        self.bulk(BulkKind::Snapshot, kind.0, Moment::Exit, bytes, 100);
    }

    /// The exit: snapshots and the process's end, from what the guest believes of itself.
    pub fn exit(&mut self) {
        let mut mm =
            MmHeader { vma_count: self.vmas.len() as u32, min_flt: self.min_flt, ..self.mm }.as_bytes().to_vec();
        mm.extend_from_slice(self.vmas.as_bytes());
        self.snapshot(SnapshotKind::Mm, &mm);
        let mut memory = self.memory.as_bytes().to_vec();
        memory.extend_from_slice(self.zone.as_bytes());
        self.snapshot(SnapshotKind::Memory, &memory);
        let counters = self.vmstat;
        self.snapshot(SnapshotKind::VmStat, counters.as_bytes());
        self.snapshot(SnapshotKind::MissingSyscalls, MissingSyscall { number: 56, count: 2 }.as_bytes());
        self.record(event::Process {
            op: ProcessOp::Exit,
            padding: [0; 3],
            status: 0,
            program: 1,
            padding2: 0,
            min_flt: self.min_flt,
            maj_flt: self.maj_flt,
            entry: 0,
        });
    }

    /// Adds the exit and records everything.
    pub fn record_run(mut self, directory: &Path) -> PathBuf {
        self.exit();
        self.record_as_is(directory)
    }

    /// Records what there is. Host faults go first, as they do in a real run.
    pub fn record_as_is(self, directory: &Path) -> PathBuf {
        let path = directory.join("run.pagelab");
        let recorder = Recorder::create(&path, &self.facts).expect("the directory is writable");
        let sender = recorder.sender();
        let (early, late): (Vec<_>, Vec<_>) =
            self.inputs.into_iter().partition(|input| matches!(input, Input::HostFault(_)));
        for input in early.into_iter().chain(late) {
            sender.send(input).expect("the recorder takes inputs");
        }
        recorder.finish(self.ending).expect("the file can be written");
        path
    }
}

/// Everything one column of a query says, as text.
pub fn column(path: &Path, sql: &str) -> Vec<String> {
    let conn = Connection::open(path).expect("a database");
    let mut rows = conn.prepare(sql).expect(sql);
    let rows = rows.query_map([], |row| row.get::<_, rusqlite::types::Value>(0)).expect(sql);
    rows.map(|value| match value.expect(sql) {
        rusqlite::types::Value::Null => "NULL".into(),
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Real(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Blob(bytes) => format!("{bytes:?}"),
    })
    .collect()
}

/// The one value a query answers with.
pub fn value(path: &Path, sql: &str) -> String {
    column(path, sql).first().cloned().unwrap_or_else(|| "no row".into())
}

/// Names of the checks that failed.
pub fn failed(path: &Path) -> Vec<String> {
    column(path, "SELECT name FROM check_result WHERE NOT ok")
}
