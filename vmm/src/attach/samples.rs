//! Counts on their way into the run file: KVM's own, and the events that are counted instead of written one by one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use crossbeam_channel::Sender;

use super::counters::Counters;
use crate::{
    faults::tracepoint::Assembler,
    perf::recording::{KvmSample, Sink},
    trace::{Input, KvmEvent, Sample, SampleKind},
    vm::clock,
};

/// How often something happened, and how long it took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    count: u64,
    /// TSC ticks from exit to entry; of exits only.
    ticks: u64,
}

/// Events by tracepoint and reason.
type ByReason = HashMap<(&'static str, Option<String>), Total>;

/// Events, counted by the recording's thread and read by the sampler.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals(Arc<Mutex<ByReason>>);

impl Totals {
    fn add(&self, event: KvmEvent) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = all.entry((event.name, event.reason)).or_default();
        total.count += 1;
        total.ticks += event.tsc_end.map_or(0, |end| end.saturating_sub(event.tsc));
    }

    /// Kind, name and total of each.
    fn read(&self) -> Vec<(SampleKind, String, Total)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = all.iter().map(|((name, reason), total)| match (*name, reason) {
            ("kvm_exit", Some(reason)) => (SampleKind::Exit, reason.clone(), *total),
            (name, Some(reason)) => (SampleKind::Event, format!("{name} {reason}"), *total),
            (name, None) => (SampleKind::Event, name.to_owned(), *total),
        });
        named.collect()
    }
}

/// Puts events together: host faults go to the run file, the rest is counted.
pub(super) struct Rows {
    pub(super) assembler: Assembler,
    pub(super) totals: Totals,
    pub(super) sink: Sender<Input>,
    /// Whether the assembler's numbers are the vCPUs'.
    pub(super) numbered: bool,
}

impl Sink for Rows {
    fn take(&mut self, samples: &[KvmSample]) {
        let Rows { assembler, totals, sink, numbered } = self;
        for sample in samples {
            assembler.take(sample, |input| hand_on(input, totals, sink, *numbered));
        }
    }

    fn end(&mut self) {
        let Rows { assembler, totals, sink, numbered } = self;
        assembler.finish(|input| hand_on(input, totals, sink, *numbered));
    }
}

fn hand_on(input: Input, totals: &Totals, sink: &Sender<Input>, numbered: bool) {
    let input = match input {
        Input::KvmEvent(event) => return totals.add(event),
        Input::HostFault(mut fault) => {
            fault.vcpu = fault.vcpu.filter(|_| numbered);
            Input::HostFault(fault)
        }
        other => other,
    };
    // Nobody takes them only when the run file has failed; its end says so.
    let _ = sink.send(input);
}

/// Writes what has changed since it last looked.
pub(super) struct Sampler {
    counters: Option<Counters>,
    totals: Totals,
    last: BTreeMap<(SampleKind, String), u64>,
    sink: Sender<Input>,
}

impl Sampler {
    pub(super) fn new(counters: Option<Counters>, totals: Totals, sink: Sender<Input>) -> Sampler {
        Sampler { counters, totals, last: BTreeMap::new(), sink }
    }

    /// Looks at everything now, and writes what has changed, with the time. What was never written is 0 so far.
    pub(super) fn sample(&mut self) -> u64 {
        let tsc = clock::rdtsc();
        let counters: Vec<(String, u64)> = self.counters.iter().flat_map(Counters::read).collect();
        for (name, value) in counters {
            self.write(tsc, SampleKind::Counter, name, Total { count: value, ticks: 0 });
        }
        self.sample_events(tsc);
        tsc
    }

    /// Writes what events have been counted, as of this time.
    pub(super) fn sample_events(&mut self, tsc: u64) {
        for (kind, name, total) in self.totals.read() {
            self.write(tsc, kind, name, total);
        }
    }

    fn write(&mut self, tsc: u64, kind: SampleKind, name: String, Total { count, ticks }: Total) {
        let last = self.last.entry((kind, name.clone())).or_default();
        if *last != count {
            *last = count;
            let ticks = (kind == SampleKind::Exit).then_some(ticks);
            let _ = self.sink.send(Input::Sample(Sample { tsc, kind, name, value: count, ticks }));
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn exits_are_counted_with_their_time_and_written_when_they_change() {
        let totals = Totals::default();
        let (sink, inputs) = unbounded();
        let mut sampler = Sampler::new(None, totals.clone(), sink);
        let exit = |tsc_end| KvmEvent {
            tsc: 100,
            tsc_end,
            name: "kvm_exit",
            reason: Some("npf".to_owned()),
            ..KvmEvent::default()
        };
        sampler.sample();
        totals.add(exit(Some(150)));
        totals.add(exit(None));
        totals.add(KvmEvent { name: "kvm_entry", ..KvmEvent::default() });
        sampler.sample();
        sampler.sample();
        totals.add(exit(Some(110)));
        sampler.sample();
        drop(sampler);
        let mut rows: Vec<_> = inputs
            .iter()
            .map(|input| match input {
                Input::Sample(Sample { kind, name, value, ticks, .. }) => (kind, name, value, ticks),
                other => panic!("{other:?}"),
            })
            .collect();
        rows[..2].sort();
        assert_eq!(
            rows,
            [
                (SampleKind::Exit, "npf".to_owned(), 2, Some(50)),
                (SampleKind::Event, "kvm_entry".to_owned(), 1, None),
                (SampleKind::Exit, "npf".to_owned(), 3, Some(60)),
            ]
        );
    }
}
