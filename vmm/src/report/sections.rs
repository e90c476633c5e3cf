//! The sections of the text report, in the order an experimenter asks: did it work, what did it print, what faulted
//! where, what did it cost, where did memory go, can the numbers be trusted.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    foreign,
    format::{bytes, count, percent, printable, signal, time},
    kvm, memory_use,
    table::Rows,
};
use crate::{
    analysis::{HostFaults, NOT_JOINED, Percentiles, Summary},
    run::STOP_AT_STATUS,
};

/// The lines of `/proc/meminfo` that the report shows.
const MEMORY_LINES: &[&str] =
    &["MemTotal", "MemFree", "AnonPages", "Cached", "Mapped", "Slab", "KernelStack", "PageTables", "Committed_AS"];
/// Lines of console output that are shown; the rest is in the run file.
const CONSOLE_LINES: usize = 60;
/// The sources that tell host faults, by what their names begin with.
const TELL_FAULTS: &[&str] = &["uffd", "memory-fault", "tracepoint"];
/// Characters of such a line that are shown.
const CONSOLE_COLUMNS: usize = 400;

/// The whole report.
pub(super) fn render(summary: &Summary) -> String {
    let sections = [
        head(summary),
        console(summary),
        messages(summary),
        foreign::attached(summary),
        guest_faults(summary),
        host_faults(summary),
        kvm::stages(summary),
        kvm::exits(summary),
        foreign::places(summary),
        latency(summary),
        slowest(summary),
        map(summary),
        memory(summary),
        memory_use::dirty(summary),
        missing_syscalls(summary),
        conservation(summary),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(summary: &Summary) -> String {
    let fact = |key| summary.fact(key).map(|value| printable(&value));
    let program = fact("program").unwrap_or_else(|| "a program".into());
    let args = fact("args").unwrap_or_default();
    let mmu = match summary.host_mmu.as_str() {
        "ept" => "ept: Intel VT-x, host faults are EPT violations",
        "npt" => "npt: AMD SVM, host faults are nested page faults",
        "shadow" => "shadow paging, ring 0 emulated: guest times are the emulator's",
        "sim" => "sim: the simulator, no KVM",
        other => other,
    };
    let mut host = printable(mmu);
    if let Some(model) = fact("cpu_model") {
        host += &format!("; {model}");
    }
    let foreign = fact("boot_protocol");
    let attached = summary.attached.as_ref();
    let mut guest = Vec::new();
    guest.extend(number(summary, "guest_memory_bytes").map(|size| format!("{} RAM", bytes(size))));
    if let Some(attached) = attached {
        guest.push(foreign::watched(attached));
    } else if let Some(protocol) = &foreign {
        guest.push(format!("a kernel that is not pagelab's, entered by {protocol}"));
    } else {
        guest.extend(fact("cpuid").map(|cpuid| match cpuid.as_str() {
            "host" => "ring 3 sees the host's CPU".to_owned(),
            _ => "ring 3 sees the fixed CPU model".to_owned(),
        }));
        guest.extend(fact("seed").map(|seed| format!("seed {seed}")));
    }
    let mut recorded = vec![format!("sources {}", fact("sources").unwrap_or_else(|| "unknown".into()))];
    recorded.push(match summary.events_lost {
        Some(lost) => format!("{} events lost", count(lost.unsigned_abs())),
        None => "the end is missing: the recorder was stopped before it".into(),
    });
    let clocks = number(summary, "clock_error_ns").filter(|_| foreign.is_none());
    recorded.extend(clocks.map(|error| format!("clocks agree within {}", time(error))));

    let mut text = String::new();
    if let Some(attached) = attached {
        line(&mut text, &["pagelab attach ", &attached.pid.to_string(), " (", &program, ")"]);
        line(&mut text, &["  result    ", &foreign::verdict(attached)]);
        line(&mut text, &["  host      ", &host]);
        line(&mut text, &["  guest     ", &guest.join(", ")]);
        line(&mut text, &["  recorded  ", &recorded.join(", ")]);
        return text;
    }
    let (what, with) = if foreign.is_some() { ("--kernel ", " --append ") } else { ("", " -- ") };
    line(&mut text, &["pagelab run ", what, &program, if args.is_empty() { "" } else { with }, &args]);
    line(&mut text, &["  result    ", &verdict(summary)]);
    line(&mut text, &["  host      ", &host]);
    line(&mut text, &["  guest     ", &guest.join(", ")]);
    line(&mut text, &["  recorded  ", &recorded.join(", ")]);
    text
}

fn verdict(summary: &Summary) -> String {
    let mut parts = Vec::new();
    parts.push(match summary.exit_status {
        Some(status) => format!("exit status {status}"),
        None => "no exit status".into(),
    });
    let end = summary.fact("guest_end").map(|end| format!("ended by {}", printable(&end)));
    match (summary.wait_status, summary.exit_status) {
        (None, _) if end.is_some() => parts.extend(end),
        (Some(status), _) if status & 0x7f != 0 => parts.push(format!("killed by {}", signal(status & 0x7f))),
        (Some(_), _) => {}
        (None, Some(status)) if status == i64::from(STOP_AT_STATUS) => parts.push("ended by --stop-at".into()),
        (None, Some(124)) => parts.push("timed out".into()),
        (None, Some(125)) => parts.push("the lab failed".into()),
        (None, _) if summary.fact("boot_protocol").is_some() => parts.push("the kernel did not end".into()),
        (None, _) => parts.push("the program did not end".into()),
    }
    parts.extend(number(summary, "wall_ns").map(|wall| format!("{} wall time", time(wall))));
    if !summary.complete {
        parts.push("INCOMPLETE: cut short, the numbers are up to there".into());
    }
    parts.join(", ")
}

fn console(summary: &Summary) -> String {
    if summary.console.is_empty() {
        return String::new();
    }
    let mut text = heading("Console", "");
    quote(&mut text, &summary.console);
    text
}

fn messages(summary: &Summary) -> String {
    let mut text = String::new();
    let diagnosis = summary.fact("diagnosis").map(|text| ("diagnosis by the host".to_owned(), text));
    let messages = summary.messages.iter().map(|message| (message.kind.replace('_', " "), message.text.clone()));
    let mut last = String::new();
    for (kind, message) in messages.chain(diagnosis) {
        if kind != last {
            text += &heading(&capitalized(&printable(&kind)), "");
            last = kind;
        }
        quote(&mut text, &message);
    }
    text
}

fn guest_faults(summary: &Summary) -> String {
    let faults = &summary.guest_faults;
    if faults.total == 0 {
        return heading("Guest page faults", none(summary, "guest"));
    }
    let mut text = heading("Guest page faults", &count(faults.total));
    let mut rows = Rows::new(&["kind", ">faults", ">share", ">p50", ">p99", ">total", ">host faults inside"]);
    for (kind, latency) in by_count(&faults.latency_ns_by_kind) {
        rows.add([
            kind.clone(),
            count(latency.count),
            percent(latency.count, faults.total),
            time(latency.p50),
            time(latency.p99),
            time(latency.sum),
            count(faults.host_faults_by_kind.get(kind).copied().unwrap_or(0)),
        ]);
    }
    text += &rows.render();
    text
}

fn host_faults(summary: &Summary) -> String {
    let faults = &summary.host_faults;
    if faults.total == 0 {
        return heading("Host faults", no_host_faults(summary));
    }
    let mut text = heading("Host faults", &count(faults.total));
    if summary.attached.is_some() {
        // They all have the same owner, unknown; where they are follows.
        return text;
    }
    let mut rows = Rows::new(&["owner", ">faults", ">share", ">p50", ">p99", ">total", ">inside guest faults"]);
    for (owner, latency) in by_count(&faults.latency_ns_by_owner) {
        rows.add([
            owner.clone(),
            count(latency.count),
            percent(latency.count, faults.total),
            time(latency.p50),
            time(latency.p99),
            time(latency.sum),
            count(faults.nested_by_owner.get(owner).copied().unwrap_or(0)),
        ]);
    }
    text += &rows.render();
    text += &sources(faults);
    if !faults.by_cache.is_empty() {
        let mut caches: Vec<_> = faults.by_cache.iter().collect();
        caches.sort_by_key(|(_, faults)| Reverse(**faults));
        let caches = caches.into_iter().map(|(cache, faults)| format!("{} {}", printable(cache), count(*faults)));
        note(&mut text, &format!("in slabs of {}", caches.collect::<Vec<_>>().join(", ")));
    }
    if faults.by_owner.contains_key(NOT_JOINED) {
        note(
            &mut text,
            "the run's end is missing, so owners and the guest faults around them are not known: both are found at the end",
        );
    } else if none(summary, "guest") == "none" {
        let (nested, outside) = (count(faults.nested), count(faults.outside));
        note(
            &mut text,
            &format!("{nested} inside a guest fault; {outside} outside of any: boot, loading, system calls"),
        );
    }
    text
}

/// What each source saw of the host faults.
fn sources(faults: &HostFaults) -> String {
    let mut text = String::new();
    let Some(source) = &faults.source else { return text };
    for (witness, events) in faults.by_source.iter().filter(|(name, _)| *name != source) {
        note(
            &mut text,
            &format!(
                "as {source} counts them; {witness} saw {}, and {} of these {} are among them",
                count(*events),
                count(faults.witnessed),
                count(faults.total)
            ),
        );
    }
    let level = |name| faults.by_level.get(name).copied().unwrap_or(0);
    if level("page_table") > 0 {
        let (tables, data) = (count(level("page_table")), count(level("data")));
        note(&mut text, &format!("{tables} on pages that hold page tables, {data} on others"));
    }
    text
}

/// The slowest guest faults, each with the host faults inside.
fn slowest(summary: &Summary) -> String {
    let slowest = &summary.guest_faults.slowest;
    if slowest.is_empty() {
        return String::new();
    }
    let mut text = heading("Slowest guest faults", "");
    let mut rows = Rows::new(&[">id", "kind", "address", ">time", ">in the host", "host faults inside"]);
    for fault in slowest {
        let inside = fault.inside.iter().map(|inner| {
            let owner = printable(inner.owner.as_deref().unwrap_or("unknown"));
            format!("{owner} {:#x} {}", inner.pfn, time(inner.ns))
        });
        let mut inside: Vec<String> = inside.collect();
        let more = fault.host_faults - inside.len() as u64;
        inside.extend((more > 0).then(|| format!("{} more", count(more))));
        rows.add([
            fault.id.to_string(),
            printable(&fault.kind),
            fault.gva.clone(),
            time(fault.ns),
            time(fault.host_ns),
            if inside.is_empty() { no_host_faults(summary).to_owned() } else { inside.join(", ") },
        ]);
    }
    text += &rows.render();
    text
}

fn latency(summary: &Summary) -> String {
    let (guest, host) = (&summary.latency_ns.guest, &summary.latency_ns.host);
    // Hosts that do not tell when a fault ended give no time of any.
    if guest.count + host.count == 0 || guest.max + host.max == 0 {
        return String::new();
    }
    let mut text = heading("Latency", "");
    let mut rows = Rows::new(&["", ">faults", ">p50", ">p90", ">p99", ">max", ">total"]);
    for (name, times) in [("guest fault", guest), ("host fault", host)].into_iter().filter(|(_, times)| times.count > 0)
    {
        let Percentiles { p50, p90, p99, max, sum, .. } = *times;
        rows.add([name.into(), count(times.count), time(p50), time(p90), time(p99), time(max), time(sum)]);
    }
    text += &rows.render();
    let nested = summary.host_faults.nested_ns;
    if summary.host_faults.nested > 0 {
        let (inside, all, share) = (time(nested), time(guest.sum), percent(nested, guest.sum));
        note(&mut text, &format!("guest times include the host faults inside: {inside} of {all} ({share})"));
    }
    if host.count > 0 {
        note(&mut text, "host times run from when the source saw the fault; VM exit and entry come on top");
    }
    text
}

fn map(summary: &Summary) -> String {
    let vmas = &summary.guest_faults.by_vma;
    if vmas.is_empty() {
        return String::new();
    }
    let moment = match summary.guest_faults.map_moment.as_deref() {
        Some("exit") => "at the exit",
        Some("exec") => "as it was loaded: there is none of the exit",
        Some(_) => "as last asked for: there is none of the exit",
        None => "there is none, these are the VMAs that faulted",
    };
    let mut text = heading("Memory map of the program", moment);
    let mut rows = Rows::new(&["range", "perms", ">kB", ">RSS kB", ">faults", "name", "by kind"]);
    for vma in vmas {
        let kinds: Vec<_> = vma.by_kind.iter().map(|(kind, number)| format!("{kind} {}", count(*number))).collect();
        let [range, size, rss] = if vma.start.is_empty() {
            Default::default()
        } else {
            [format!("{}-{}", bare(&vma.start), bare(&vma.end)), count(vma.size_kb), count(vma.rss_kb)]
        };
        rows.add([range, vma.perms.clone(), size, rss, count(vma.faults), printable(&vma.name), kinds.join(", ")]);
    }
    text += &rows.render();
    let zero = vmas.iter().fold(0u64, |sum, vma| sum.saturating_add(vma.zero_kb));
    if zero > 0 {
        note(&mut text, &format!("{} kB more map the shared zero page, which is no RSS", count(zero)));
    }
    text
}

fn memory(summary: &Summary) -> String {
    if summary.memory.is_empty() {
        return String::new();
    }
    let mut text = heading("Memory of the guest", "kB, at the exit");
    let shown = MEMORY_LINES.iter().filter_map(|name| summary.memory.get(*name).map(|value| (name, value)));
    let cells: Vec<_> = shown.map(|(name, value)| format!("{name:<13}{:>10}", count(*value))).collect();
    for row in cells.chunks(3) {
        line(&mut text, &["  ", &row.join("   ")]);
    }
    text
}

fn missing_syscalls(summary: &Summary) -> String {
    if summary.missing_syscalls.is_empty() {
        return String::new();
    }
    let mut text = heading("System calls answered with ENOSYS", "");
    for call in &summary.missing_syscalls {
        let name = call.name.clone().unwrap_or_else(|| format!("number {}", call.number));
        line(&mut text, &["  ", &name, " × ", &count(call.count.into())]);
    }
    text
}

fn conservation(summary: &Summary) -> String {
    let conservation = &summary.conservation;
    let verdict = match conservation.ok {
        Some(true) => "every identity holds",
        Some(false) => "BROKEN, do not trust the numbers concerned",
        None => "nothing could be checked",
    };
    let mut text = heading("Conservation check", verdict);
    if !conservation.checks.is_empty() {
        let mut rows = Rows::new(&["", "identity", ">expected", ">actual", "expected = actual"]);
        for check in &conservation.checks {
            let verdict = if check.ok { "ok" } else { "FAIL" };
            let [expected, actual] = [check.expected, check.actual].map(|value| value.to_string());
            rows.add([verdict.into(), check.name.clone(), expected, actual, check.terms.clone()]);
        }
        text += &rows.render();
    }
    if let (Some(preloaded), Some(there)) =
        (number(summary, "uffd_present_at_start"), number(summary, "uffd_already_there"))
    {
        let (preloaded, there) = (count(preloaded), count(there));
        note(
            &mut text,
            &format!("{preloaded} pages were preloaded by the host; {there} copies found the page there already"),
        );
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for skipped in &conservation.not_checked {
        reasons.entry(&skipped.reason).or_default().push(&skipped.name);
    }
    for (reason, names) in reasons {
        note(&mut text, &format!("not checked: {} ({reason})", names.join(", ")));
    }
    text
}

/// What no host faults mean.
fn no_host_faults(summary: &Summary) -> &'static str {
    let sources = summary.fact("sources").unwrap_or_default();
    let tells = |name: &str| TELL_FAULTS.iter().any(|source| name.starts_with(source));
    if sources.split(',').any(tells) { "none" } else { "not recorded" }
}

/// What no events of a source mean.
fn none(summary: &Summary, source: &str) -> &'static str {
    let on = summary.fact("sources").is_none_or(|sources| sources.split(',').any(|name| name == source));
    if on { "none" } else { "not recorded" }
}

fn number(summary: &Summary, key: &str) -> Option<u64> {
    summary.fact(key)?.parse().ok()
}

pub(super) fn heading(title: &str, remark: &str) -> String {
    if remark.is_empty() { format!("{title}\n") } else { format!("{title}: {remark}\n") }
}

pub(super) fn line(text: &mut String, parts: &[&str]) {
    text.push_str(parts.concat().trim_end());
    text.push('\n');
}

pub(super) fn note(text: &mut String, note: &str) {
    line(text, &["  · ", note]);
}

fn quote(text: &mut String, quoted: &str) {
    let lines: Vec<_> = quoted.lines().collect();
    for quoted in lines.iter().take(CONSOLE_LINES) {
        let shown: String = quoted.chars().take(CONSOLE_COLUMNS).collect();
        let rest = if shown.len() < quoted.len() { " ..." } else { "" };
        line(text, &["  │ ", &printable(&shown), rest]);
    }
    if lines.len() > CONSOLE_LINES {
        note(text, &format!("{} more lines are in the run file", count((lines.len() - CONSOLE_LINES) as u64)));
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A hex address without its `0x`, as `/proc/PID/maps` has it.
fn bare(address: &str) -> &str {
    address.strip_prefix("0x").unwrap_or(address)
}

fn by_count(latencies: &BTreeMap<String, Percentiles>) -> Vec<(&String, &Percentiles)> {
    let mut sorted: Vec<_> = latencies.iter().collect();
    sorted.sort_by_key(|(_, latency)| Reverse(latency.count));
    sorted
}
