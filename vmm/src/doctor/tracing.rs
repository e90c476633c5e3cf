//! What KVM's tracepoints need: tracefs, the events, and the right to count them.

use std::{fs, io::ErrorKind};

use rustix::thread::{CapabilitySet, capabilities};

use super::{Check, host::Host};
use crate::perf::Tracefs;

const TRACEFS: (&str, &str) =
    ("tracefs", "without it KVM's tracepoints cannot be found: no --record tracepoint, no pagelab attach");
const EVENTS: (&str, &str) = ("kvm_events", "without them KVM does not tell its faults and exits one by one");
const PERF: (&str, &str) = ("perf", "without the right to use perf events tracepoints cannot be recorded");
/// Where tracefs is mounted, the old place last.
const PLACES: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];

pub(super) fn checks(host: &Host) -> Vec<Check> {
    let mut checks = tracefs(host, || Tracefs::open().is_ok());
    let capable = capabilities(None)
        .is_ok_and(|sets| sets.effective.intersects(CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN));
    checks.push(perf(host, capable));
    checks
}

/// `reachable` says whether this process gets at a tracefs that is mounted nowhere.
fn tracefs(host: &Host, reachable: impl Fn() -> bool) -> Vec<Check> {
    let (name, why) = TRACEFS;
    let events = |found: &str| Check::unknown(EVENTS.0, EVENTS.1, found.to_owned());
    for place in PLACES {
        match fs::read_dir(host.path(place).join("events")) {
            Ok(_) => {
                let kvm = host.has(format!("{place}/events/kvm/kvm_page_fault/format"));
                let (name_of_events, why_events) = EVENTS;
                let events = if kvm {
                    Check::ok(name_of_events, why_events, "there; which of them a host emits shows in a run")
                } else {
                    Check::missing(
                        name_of_events,
                        why_events,
                        "tracefs has no events of KVM's",
                        "sudo modprobe kvm_intel || sudo modprobe kvm_amd",
                    )
                };
                return vec![Check::ok(name, why, format!("readable at /{place}")), events];
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return vec![
                    Check::missing(
                        name,
                        why,
                        format!("/{place} may not be read"),
                        format!("run as root, or: sudo mount -o remount,gid=$(id -g),mode=750 /{place}"),
                    ),
                    events("tracefs has to be readable first"),
                ];
            }
            Err(_) => {}
        }
    }
    if reachable() {
        let found = "not mounted, but this user may look into it all the same";
        return vec![Check::ok(name, why, found), events("a run with --record tracepoint shows which there are")];
    }
    vec![
        Check::missing(name, why, "not mounted", format!("sudo mount -t tracefs tracefs /{}", PLACES[0])),
        events("tracefs has to be mounted first"),
    ]
}

fn perf(host: &Host, capable: bool) -> Check {
    let (name, why) = PERF;
    match host.number("proc/sys/kernel/perf_event_paranoid") {
        None => {
            Check::missing(name, why, "this kernel has no perf events", "boot a kernel built with CONFIG_PERF_EVENTS=y")
        }
        Some(level) if capable => Check::ok(name, why, format!("this process has the capability (level {level})")),
        Some(level) if level < 0 => Check::ok(name, why, format!("open to everyone (level {level})")),
        Some(level) => Check::missing(
            name,
            why,
            format!("tracepoints are closed to this user (kernel.perf_event_paranoid is {level})"),
            "run as root, or: sudo sysctl kernel.perf_event_paranoid=-1",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Status, host::tests::made_of};

    #[test]
    fn tracefs_and_its_events() {
        let statuses = |files: &[(&str, &str)], reachable: bool| {
            let (_folder, host) = made_of(files);
            tracefs(&host, || reachable).into_iter().map(|check| check.status).collect::<Vec<_>>()
        };
        assert_eq!(statuses(&[], false), [Status::Missing, Status::Unknown]);
        assert_eq!(statuses(&[], true), [Status::Ok, Status::Unknown]);
        let other = ("sys/kernel/tracing/events/sched/enable", "0");
        assert_eq!(statuses(&[other], false), [Status::Ok, Status::Missing]);
        let kvm = ("sys/kernel/debug/tracing/events/kvm/kvm_page_fault/format", "");
        assert_eq!(statuses(&[kvm], false), [Status::Ok, Status::Ok]);
    }

    #[test]
    fn the_right_to_perf_events() {
        let (_folder, host) = made_of(&[("proc/sys/kernel/perf_event_paranoid", "2\n")]);
        assert_eq!(perf(&host, true).status, Status::Ok);
        assert_eq!(perf(&host, false).status, Status::Missing);
        let (_folder, host) = made_of(&[("proc/sys/kernel/perf_event_paranoid", "-1\n")]);
        assert_eq!(perf(&host, false).status, Status::Ok);
        assert_eq!(perf(&made_of(&[]).1, true).status, Status::Missing);
    }
}
