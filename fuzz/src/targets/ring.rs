//! The trace ring: a guest may write anything into the window at any time; what comes out is bounded and decodes.

use fastrand::Rng;
use pagelab::{
    trace::{Decoder, Event},
    vm::{memory::TraceWindow, ring::RingReader},
};
use pagelab_abi::{
    event::{Payload, StringPart},
    record::{RECORD_SIZE, Record, RecordKind},
    ring::{HEAD_OFFSET, RECORDS_OFFSET},
};
use vm_memory::{Bytes, VolatileMemory};
use zerocopy::IntoBytes;

use crate::{Target, ensure, mutate};

/// Bytes of the window: so small that a ring wraps around.
const WINDOW: u64 = 64 << 10;
/// Bytes before the records of a step: how far the head moves, and where the records go.
const STEP: usize = 16;
/// Most records of a step.
const MOST: usize = 64;

/// See the module. An input is a list of steps: 8 bytes head, 2 bytes number of records, 6 bytes place, then records.
pub struct Ring {
    corpus: Vec<Vec<u8>>,
}

impl Ring {
    /// With sound streams of every kind of record.
    pub fn new() -> Ring {
        let kinds: Vec<Record> = (0..=12).map(|kind| record(RecordKind(kind), kind.into(), [0; 5])).collect();
        let strings: Vec<Record> = (0..4)
            .map(|part| {
                let bytes = [b'a' + part as u8; 32];
                let part = StringPart { id: 1 + part / 2, length: 40, offset: 32 * (part % 2) as u16, bytes };
                record(RecordKind::String, part.id, part.to_words())
            })
            .collect();
        let step = |head: u64, records: &[Record]| {
            let mut bytes = head.to_le_bytes().to_vec();
            bytes.extend((records.len() as u16).to_le_bytes());
            bytes.extend([0; 6]);
            bytes.extend(records.as_bytes());
            bytes
        };
        let twice = [step(13, &kinds), step(17, &strings)].concat();
        Ring { corpus: vec![step(13, &kinds), step(4, &strings), twice] }
    }
}

impl Default for Ring {
    fn default() -> Ring {
        Ring::new()
    }
}

fn record(kind: RecordKind, seq: u32, payload: [u64; 5]) -> Record {
    Record { kind, flags: 0, vcpu: 0, pid: 1, tsc: 1000, seq, aux: 0, payload }
}

impl Target for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        mutate::mutated(&self.corpus, random)
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let window = TraceWindow::new(WINDOW).map_err(|error| error.to_string())?;
        let mut ring = RingReader::new(window.clone()).map_err(|error| error.to_string())?;
        let (mut decoder, mut taken, mut rest) = (Decoder::new(), 0u64, input);
        while let Some((step, after)) = rest.split_at_checked(STEP) {
            let count = usize::from(u16::from_le_bytes([step[8], step[9]])).min(MOST);
            let (records, after) = after.split_at(after.len().min(count * RECORD_SIZE));
            rest = after;
            let whole = window.region().as_volatile_slice();
            let place = u64::from_le_bytes([step[10], step[11], step[12], step[13], step[14], step[15], 0, 0]);
            let offset = if place == 0 { RECORDS_OFFSET } else { (place % WINDOW) as usize };
            let fits = records.len().min(WINDOW as usize - offset);
            whole.write_slice(&records[..fits], offset).map_err(|error| error.to_string())?;
            whole.write_slice(&step[..8], HEAD_OFFSET).map_err(|error| error.to_string())?;
            let drained = ring.drain().map_err(|error| format!("a drain fails\n{error}"))?;
            let number = drained.records.len() as u64;
            ensure!(number <= ring.capacity(), "more records than the ring holds\n{number}");
            ensure!(drained.violation.is_none() || number == 0, "records of a broken ring\n{number}");
            for record in &drained.records {
                if let Some(decoded) = decoder.decode(record)
                    && let Event::String { id, text } = decoded.event
                {
                    ensure!(decoder.string(id) == Some(text.as_str()), "a string is not kept\n{id}: {text}");
                }
            }
            taken += number;
        }
        ensure!(decoder.health().records == taken, "records are lost\n{:?} of {taken}", decoder.health());
        Ok(())
    }
}
