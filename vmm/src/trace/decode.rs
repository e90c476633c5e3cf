//! Records to events. The guest is not trusted: unknown kinds survive as [`Event::Unknown`], gaps are counted, and
//! nothing panics or grows without a bound.

use std::collections::HashMap;

use pagelab_abi::{
    event::{self, Payload},
    record::{Record, RecordKind},
};

use super::strings::{Added, StringTable};

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest kernel has started.
    Boot(event::Boot),
    /// A string is known from now on.
    String {
        /// What other records call it.
        id: u32,
        /// The text; bytes that are not UTF-8 are replaced.
        text: String,
    },
    /// A page fault of the guest.
    GuestFault(event::GuestFault),
    /// Frames taken, given back, announced.
    Frame(event::Frame),
    /// A VMA changed.
    Vma(event::Vma),
    /// A system call began.
    SyscallEnter {
        /// Its number.
        number: u32,
        /// Its first five arguments.
        enter: event::SyscallEnter,
    },
    /// A system call ended.
    SyscallExit {
        /// Its number.
        number: u32,
        /// Result and sixth argument.
        exit: event::SyscallExit,
    },
    /// A program started or ended.
    Process(event::Process),
    /// A cache of kernel objects, a slab or an object changed.
    Slab(event::Slab),
    /// An area of the kernel's own virtual memory changed.
    Vmalloc(event::Vmalloc),
    /// Bytes follow by another way.
    Bulk(event::Bulk),
    /// A kind this version does not know.
    Unknown(u8),
}

/// An event and what the record's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Number of the record among all decoded ones, from 1. The order of the stream.
    pub id: i64,
    /// TSC when it began.
    pub tsc: u64,
    /// The vCPU that wrote it.
    pub vcpu: u16,
    /// The process it is about; 0 is the kernel.
    pub pid: u32,
    /// Bits of the kind.
    pub flags: u8,
    /// The event.
    pub event: Event,
}

/// What is known of the stream's wholeness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamHealth {
    /// Records decoded.
    pub records: u64,
    /// Records missing by their sequence numbers.
    pub lost: u64,
    /// Records whose sequence number went backwards.
    pub disordered: u64,
    /// Records of an unknown kind.
    pub unknown: u64,
    /// String parts that broke the table's rules.
    pub bad_strings: u64,
}

/// Turns records into events and keeps what the next ones need.
#[derive(Debug, Default)]
pub struct Decoder {
    next_seq: HashMap<u16, u32>,
    strings: StringTable,
    health: StreamHealth,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one record. `None` for a string part that completes nothing.
    pub fn decode(&mut self, record: &Record) -> Option<Decoded> {
        self.count(record);
        let event = match record.kind {
            RecordKind::Boot => Event::Boot(record.payload_as()),
            RecordKind::String => match self.strings.add(&record.payload_as()) {
                Added::Whole(id, text) => Event::String { id, text },
                Added::Partial => return None,
                Added::Refused => {
                    self.health.bad_strings += 1;
                    return None;
                }
            },
            RecordKind::GuestFault => Event::GuestFault(record.payload_as()),
            RecordKind::Frame => Event::Frame(record.payload_as()),
            RecordKind::Vma => Event::Vma(record.payload_as()),
            RecordKind::SyscallEnter => Event::SyscallEnter { number: record.aux, enter: record.payload_as() },
            RecordKind::SyscallExit => Event::SyscallExit { number: record.aux, exit: record.payload_as() },
            RecordKind::Process => Event::Process(record.payload_as()),
            RecordKind::Slab => Event::Slab(record.payload_as()),
            RecordKind::Vmalloc => Event::Vmalloc(record.payload_as()),
            event::Bulk::KIND => Event::Bulk(record.payload_as()),
            RecordKind(kind) => {
                self.health.unknown += 1;
                Event::Unknown(kind)
            }
        };
        Some(Decoded {
            id: self.health.records.cast_signed(),
            tsc: record.tsc,
            vcpu: record.vcpu,
            pid: record.pid,
            flags: record.flags,
            event,
        })
    }

    /// A string the guest has defined.
    pub fn string(&self, id: u32) -> Option<&str> {
        self.strings.get(id)
    }

    /// How whole the stream is so far.
    pub fn health(&self) -> StreamHealth {
        self.health
    }

    fn count(&mut self, record: &Record) {
        self.health.records += 1;
        let expected = self.next_seq.entry(record.vcpu).or_insert(0);
        let gap = record.seq.wrapping_sub(*expected);
        if gap > u32::MAX / 2 {
            self.health.disordered += 1;
        } else {
            self.health.lost += u64::from(gap);
        }
        *expected = record.seq.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::FromBytes;

    use super::*;

    fn record(kind: RecordKind, seq: u32) -> Record {
        Record { kind, flags: 0, vcpu: 0, pid: 1, tsc: 10, seq, aux: 0, payload: [0; 5] }
    }

    #[test]
    fn gaps_are_lost_records() {
        let mut decoder = Decoder::new();
        for seq in [0, 1, 4, 5] {
            decoder.decode(&record(RecordKind::Frame, seq));
        }
        assert_eq!(decoder.health(), StreamHealth { records: 4, lost: 2, ..Default::default() });
    }

    #[test]
    fn a_lost_start_is_seen_and_order_too() {
        let mut decoder = Decoder::new();
        for seq in [3, 2, 3] {
            decoder.decode(&record(RecordKind::Frame, seq));
        }
        assert_eq!(decoder.health(), StreamHealth { records: 3, lost: 3, disordered: 1, ..Default::default() });
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut decoder = Decoder::new();
        decoder.next_seq.insert(0, u32::MAX);
        for seq in [u32::MAX, 0, 1] {
            decoder.decode(&record(RecordKind::Vma, seq));
        }
        assert_eq!(decoder.health().lost + decoder.health().disordered, 0);
    }

    #[test]
    fn unknown_kinds_survive() {
        let decoded = Decoder::new().decode(&record(RecordKind(77), 0)).map(|decoded| decoded.event);
        assert_eq!(decoded, Some(Event::Unknown(77)));
    }

    proptest! {
        #[test]
        fn any_bytes_decode(bytes in proptest::collection::vec(any::<[u8; 64]>(), 0..200)) {
            let mut decoder = Decoder::new();
            for bytes in &bytes {
                let record = Record::read_from_bytes(bytes).expect("64 bytes are a record");
                decoder.decode(&record);
            }
            prop_assert_eq!(decoder.health().records, bytes.len() as u64);
        }

        #[test]
        fn any_string_parts_decode(parts in proptest::collection::vec(
            (0u32..4, 0u16..100, 0u16..100, any::<[u8; 32]>()), 0..300))
        {
            let mut decoder = Decoder::new();
            for (seq, (id, length, offset, bytes)) in parts.into_iter().enumerate() {
                let mut record = record(RecordKind::String, u32::try_from(seq).expect("few parts"));
                record.payload = event::StringPart { id, length, offset, bytes }.to_words();
                if let Some(Decoded { event: Event::String { id, text }, .. }) = decoder.decode(&record) {
                    prop_assert_eq!(decoder.string(id), Some(text.as_str()));
                }
            }
        }
    }
}
