//! The sections of the report that are about a VM or a kernel that is not pagelab's.

use super::{
    format::{count, printable, time},
    sections::{heading, note},
    table::Rows,
};
use crate::analysis::{Attached, HostPlaces, MOST_PLACES, Summary};

/// Rows of a table of events or statistics that are shown; the rest is in the run file.
const SHOWN: usize = 25;

/// Head of the report of an attached VM, its result and what was watched.
pub(super) fn verdict(attached: &Attached) -> String {
    format!("recorded for {:.2} s, until {}", attached.seconds, printable(&attached.end))
}

/// What was watched.
pub(super) fn watched(attached: &Attached) -> String {
    let plural = |number: i64, name: &str| format!("{number} {name}{}", if number == 1 { "" } else { "s" });
    format!("{} with {}", plural(attached.vms, "VM"), plural(attached.vcpus, "vCPU"))
}

/// Exits, events, statistics, both over time, and what is missing.
pub(super) fn attached(summary: &Summary) -> String {
    let Some(attached) = &summary.attached else { return String::new() };
    let sections = [exits(attached), events(attached), statistics(attached), over_time(attached), missing(attached)];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn exits(attached: &Attached) -> String {
    let exits = attached.exits.iter().map(|exit| exit.count).sum::<u64>();
    if exits == 0 {
        let why = attached.missing.get("kvm_exit").or_else(|| attached.missing.get("tracepoint"));
        return heading("Exits", why.map_or("none", |_| "missing, see below"));
    }
    let mut text = heading("Exits", &format!("{} ({} a second)", count(exits), rate(exits as f64 / attached.seconds)));
    let mut rows = Rows::new(&["reason", ">exits", ">a second", ">outside", ">of the time"]);
    for exit in attached.exits.iter().take(SHOWN) {
        let share = exit.outside_ns as f64 / 1e9 / attached.seconds / attached.vcpus.max(1) as f64;
        rows.add([
            printable(&exit.reason),
            count(exit.count),
            rate(exit.per_second),
            time(exit.outside_ns),
            format!("{:.1} %", share * 100.0),
        ]);
    }
    text += &rows.render();
    note(&mut text, "outside: from exit to entry, time in the VMM and asleep included");
    text
}

fn events(attached: &Attached) -> String {
    if attached.events.is_empty() {
        return String::new();
    }
    let mut text = heading("Other events of KVM", "");
    let mut rows = Rows::new(&["event", ">count", ">a second"]);
    for event in attached.events.iter().take(SHOWN) {
        rows.add([printable(&event.name), count(event.count), rate(event.per_second)]);
    }
    text += &rows.render();
    text
}

fn statistics(attached: &Attached) -> String {
    if attached.statistics.is_empty() {
        let why = if attached.missing.contains_key("stats") { "missing, see below" } else { "none changed" };
        return heading("KVM statistics", why);
    }
    let mut text = heading("KVM statistics", "that changed");
    let mut rows = Rows::new(&["name", ">change", ">a second", ">now"]);
    for statistic in &attached.statistics {
        let sign = if statistic.change < 0 { "-" } else { "" };
        rows.add([
            printable(&statistic.name),
            format!("{sign}{}", count(statistic.change.unsigned_abs())),
            statistic.per_second.map_or_else(|| "-".to_owned(), rate),
            count(statistic.value),
        ]);
    }
    text += &rows.render();
    text
}

fn over_time(attached: &Attached) -> String {
    if attached.over_time.is_empty() {
        return String::new();
    }
    let mut text = heading("Over time", "a second");
    let mut rows = Rows::new(&[">from", ">to", ">exits", ">host faults", ">emulated instructions"]);
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), rate);
    for interval in &attached.over_time {
        rows.add([
            format!("{:.2} s", interval.begin),
            format!("{:.2} s", interval.end),
            cell(interval.exits_per_second),
            cell(interval.host_faults_per_second),
            cell(interval.emulated_per_second),
        ]);
    }
    text += &rows.render();
    text
}

fn missing(attached: &Attached) -> String {
    if attached.missing.is_empty() {
        return String::new();
    }
    let mut text = heading("Missing", "");
    for (what, why) in &attached.missing {
        note(&mut text, &format!("{}: {}", printable(what), printable(why)));
    }
    text
}

/// Where the host faults of a guest are that tells nothing of its frames.
pub(super) fn places(summary: &Summary) -> String {
    let Some(HostPlaces { regions, pages, instructions }) = &summary.host_places else { return String::new() };
    let mut sections = Vec::new();
    for (title, places) in [
        ("Host faults by region of 2 MiB", regions),
        ("Pages with several host faults", pages),
        ("Host faults by instruction", instructions),
    ] {
        if places.is_empty() {
            continue;
        }
        let remark = if places.len() == MOST_PLACES { "the first ones" } else { "" };
        let mut rows = Rows::new(&["address", ">faults"]);
        for place in places {
            rows.add([place.address.clone(), count(place.faults)]);
        }
        sections.push(heading(title, remark) + &rows.render());
    }
    sections.join("\n")
}

/// A rate: whole numbers with thousands apart, small ones with a digit behind the point.
fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { count(per_second.round() as u64) } else { format!("{per_second:.1}") }
}
