//! What a run sends to the recorder, as bytes that can be changed: a list of records, bulk transfers and host faults.

use pagelab::trace::{Access, HostFault, HostFaultKind, Input, Stage};
use pagelab_abi::{
    event::{Bulk, Payload},
    record::{RECORD_SIZE, Record},
};
use zerocopy::{FromBytes, IntoBytes};

/// Longest bulk transfer, in bytes.
const MAX_BULK: usize = 4096;
/// Bytes of an element that come before its contents: its kind, and a length.
const HEAD: usize = 8;
const RECORD: u8 = 0;
const BULK: u8 = 1;
const HOST_FAULT: u8 = 2;

/// The bytes of a list of inputs. What has no form here is left out.
pub(super) fn encode(inputs: &[Input]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = |bytes: &mut Vec<u8>, kind: u8, length: usize| {
        bytes.extend([kind, 0, 0, 0]);
        bytes.extend((length as u32).to_le_bytes());
    };
    for input in inputs {
        match input {
            Input::Records(records) => {
                for record in records {
                    head(&mut bytes, RECORD, 0);
                    bytes.extend(record.as_bytes());
                }
            }
            Input::Bulk { record, bytes: contents, .. } => {
                head(&mut bytes, BULK, contents.len());
                bytes.extend(record.as_bytes());
                bytes.extend(contents);
            }
            Input::HostFault(fault) => {
                head(&mut bytes, HOST_FAULT, 0);
                for word in [fault.tsc_begin, fault.tsc_end, fault.gpa, fault.bytes] {
                    bytes.extend(word.to_le_bytes());
                }
            }
            _ => {}
        }
    }
    bytes
}

/// The inputs that bytes stand for; what is left over at the end is nothing.
pub(super) fn decode(mut bytes: &[u8]) -> Vec<Input> {
    let mut inputs = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(HEAD) {
        let Some(next) = element(head, rest, &mut inputs) else { break };
        bytes = next;
    }
    inputs
}

fn element<'a>(head: &[u8], rest: &'a [u8], inputs: &mut Vec<Input>) -> Option<&'a [u8]> {
    if head[0] == HOST_FAULT {
        let (fault, rest) = rest.split_at_checked(32)?;
        let word = |index: usize| u64::from_le_bytes(fault[8 * index..][..8].try_into().expect("eight bytes"));
        inputs.push(Input::HostFault(HostFault {
            vcpu: (head[1] & 1 == 0).then_some(u16::from(head[2])),
            tsc_begin: word(0),
            tsc_end: word(1),
            gpa: word(2),
            access: if head[1] & 2 == 0 { Access::Write } else { Access::Execute },
            source: if head[1] & 4 == 0 { "uffd" } else { "tracepoint" },
            kind: if head[1] & 8 == 0 { HostFaultKind::Missing } else { HostFaultKind::Refault },
            bytes: word(3),
            rip: (head[1] & 16 != 0).then_some(word(0)),
            gva: (head[1] & 32 != 0).then_some(word(1)),
            error_code: (head[1] & 64 != 0).then_some(word(2)),
            stage: (head[1] & 128 != 0).then_some(Stage::Walk),
        }));
        return Some(rest);
    }
    let (record, rest) = Record::read_from_prefix(rest.get(..RECORD_SIZE).map(|_| rest)?).ok()?;
    if head[0] != BULK {
        inputs.push(Input::Records(vec![record]));
        return Some(rest);
    }
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let (contents, rest) = rest.split_at(rest.len().min(length).min(MAX_BULK));
    inputs.push(Input::Bulk { record, bulk: Bulk::from_words(&record.payload), bytes: contents.to_vec() });
    Some(rest)
}
