//! What a foreign kernel sends over its serial port, on its way to the recorder and to the screen.

use std::io::{self, Write};

use crossbeam_channel::Sender;

use crate::{
    trace::Input,
    vm::{clock, vcpu::ConsoleHook},
};

/// Standard output's number.
const STREAM: u8 = 1;
/// Bytes that may wait for the end of their line.
const LONGEST_WAIT: usize = 4096;
/// Bytes the host takes in one run; what comes after is refused and said.
const LIMIT: u64 = 64 << 20;

/// The far end of the serial line.
pub(super) struct Console {
    pending: Vec<u8>,
    taken: u64,
    sink: Sender<Input>,
    hook: Option<ConsoleHook>,
    recorder_gone: bool,
}

impl Console {
    pub(super) fn new(sink: Sender<Input>, hook: Option<ConsoleHook>) -> Console {
        Console { pending: Vec::new(), taken: 0, sink, hook, recorder_gone: false }
    }

    /// Hands on what waits.
    pub(super) fn deliver(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        if let Some(hook) = &mut self.hook {
            hook(STREAM, &bytes);
        }
        self.send(Input::Console { tsc: clock::rdtsc(), stream: STREAM, bytes });
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether nobody takes the recording any more.
    pub(super) fn recorder_gone(&self) -> bool {
        self.recorder_gone
    }

    fn send(&mut self, input: Input) {
        self.recorder_gone |= self.sink.send(input).is_err();
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if self.taken == LIMIT {
                self.taken += 1;
                self.send(Input::ProtocolError(format!("wrote more than {LIMIT} bytes to its serial port")));
            }
            if self.taken > LIMIT {
                break;
            }
            self.taken += 1;
            self.pending.push(*byte);
            if *byte == b'\n' || self.pending.len() >= LONGEST_WAIT {
                self.deliver();
            }
        }
        Ok(bytes.len())
    }

    /// Does nothing: the serial port asks for it after every byte, and lines are delivered whole.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn lines_are_delivered_whole_and_long_ones_in_parts() {
        let (sink, inputs) = unbounded();
        let mut console = Console::new(sink, None);
        console.write_all(b"one\ntwo").expect("written");
        console.write_all(&[b'x'; LONGEST_WAIT]).expect("written");
        console.deliver();
        console.deliver();
        drop(console);
        let texts: Vec<usize> = inputs
            .iter()
            .map(|input| match input {
                Input::Console { stream: 1, bytes, .. } => bytes.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, [4, LONGEST_WAIT, 3]);
    }

    #[test]
    fn a_flood_is_cut_off_and_said_once() {
        let (sink, inputs) = unbounded();
        let mut console = Console::new(sink, None);
        let part = vec![b'\n' + 1; 1 << 20];
        (0..70).for_each(|_| console.write_all(&part).expect("written"));
        drop(console);
        let (mut bytes, mut errors) = (0, 0);
        for input in inputs {
            match input {
                Input::Console { bytes: part, .. } => bytes += part.len() as u64,
                Input::ProtocolError(_) => errors += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((bytes, errors), (LIMIT, 1));
    }
}
