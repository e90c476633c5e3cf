//! A buffer that snapshots are written in and sent from, part by part.

use pagelab_abi::code::{BulkKind, Moment, SnapshotKind};
use zerocopy::{Immutable, IntoBytes};

use super::Tracer;

/// Bytes of one part.
const PART: usize = 8192;

/// One snapshot on its way.
pub(crate) struct SnapshotBuffer {
    bytes: [u8; PART],
    length: usize,
    kind: SnapshotKind,
    moment: Moment,
}

impl SnapshotBuffer {
    /// An empty buffer.
    pub(crate) const fn new() -> SnapshotBuffer {
        SnapshotBuffer { bytes: [0; PART], length: 0, kind: SnapshotKind::Mm, moment: Moment::Exec }
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
