//! A buffer that snapshots are written in and sent from, part by part.

use pagelab_abi::code::{BulkKind, Moment, SnapshotKind};
use zerocopy::{Immutable, IntoBytes};

use super::Tracer;
use crate::take_once::TakeOnce;

/// Bytes of one part.
const PART: usize = 8192;

static BYTES: TakeOnce<[u8; PART]> = TakeOnce::new([0; PART]);

/// One snapshot on its way.
pub(crate) struct SnapshotBuffer {
    bytes: &'static mut [u8; PART],
    length: usize,
    kind: SnapshotKind,
    moment: Moment,
}

impl SnapshotBuffer {
    /// The one buffer.
    pub(crate) fn new() -> SnapshotBuffer {
        SnapshotBuffer { bytes: BYTES.take(), length: 0, kind: SnapshotKind::Mm, moment: Moment::Exec }
    }

    /// Starts a snapshot.
    pub(crate) fn begin(&mut self, kind: SnapshotKind, moment: Moment) {
        self.length = 0;
        self.kind = kind;
        self.moment = moment;
    }

    /// Adds a structure; sends what is there when it does not fit any more.
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, trace: &mut Tracer, value: &T) {
        let bytes = value.as_bytes();
        if self.length + bytes.len() > PART {
            self.send(trace, true);
        }
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Sends the last part.
    pub(crate) fn end(&mut self, trace: &mut Tracer) {
        self.send(trace, false);
    }

    fn send(&mut self, trace: &mut Tracer, more: bool) {
        trace.bulk(BulkKind::Snapshot, self.kind.0, self.moment, more, &self.bytes[..self.length]);
        self.length = 0;
    }
}
