//! A walk of the guest's page tables as lines of text.

use super::format::{bytes, count, printable, time};
use crate::analysis::{Backing, Frame, Walk};

/// The walk for people: a line an entry, with what is known of its table, then the page.
pub(super) fn render(walk: &Walk) -> String {
    let mut text = format!("{} through CR3 {}, as the run's end left the tables\n", walk.gva, walk.cr3);
    for entry in &walk.entries {
        let flags = if entry.flags.is_empty() { "not present" } else { &entry.flags };
        text += &format!("  {:5}[{:3}] = {}  {flags}\n", entry.name, entry.index, entry.value);
        text += &format!("             in {}\n", frame(&entry.table));
    }
    match (&walk.page, &walk.unmapped) {
        (Some(page), _) => {
            text += &format!("  page       {} of {}\n", page.gpa, bytes(page.bytes));
            text += &format!("             {}\n", frame(&page.frame));
        }
        (None, reason) => {
            text += &format!("  not mapped: {}\n", reason.as_deref().unwrap_or("the reason is not known"))
        }
    }
    match &walk.vma {
        Some(vma) => text += &format!("  VMA        {}\n", printable(vma)),
        None if walk.page.is_none() => text += "  VMA        none covers the address\n",
        None => {}
    }
    if let Some(fault) = &walk.guest_fault {
        text += &format!("  last guest fault on the page: {} ({})\n", fault.id, printable(&fault.kind));
    }
    text
}

fn frame(frame: &Frame) -> String {
    let mut text = format!("frame {:#x}", frame.pfn);
    match (&frame.owner, frame.frame_event) {
        (Some(owner), Some(event)) => text += &format!(", {} since event {event}", printable(owner)),
        (None, Some(event)) => text += &format!(", free since event {event}"),
        _ => text += ", the guest told nothing of it",
    }
    text.extend(frame.call_site.iter().map(|site| format!(" ({})", printable(site))));
    let fault = frame.host_fault.as_ref().map(|fault| {
        let at = match u64::try_from(fault.at_ns) {
            Ok(after) => format!("{} after boot", time(after)),
            Err(_) => format!("{} before boot", time(fault.at_ns.unsigned_abs())),
        };
        let inside = fault.guest_fault_id.map(|id| format!(", inside guest fault {id}")).unwrap_or_default();
        let before = match frame.host_faults {
            0 | 1 => String::new(),
            all => format!(", {} more before it", count(all - 1)),
        };
        format!("host fault {} ({}, {at}{inside}{before})", fault.id, printable(&fault.source))
    });
    let fault = fault.unwrap_or_default();
    let backing = match frame.backing {
        Backing::Preloaded => "backed: preloaded by the host".to_owned(),
        Backing::Faulted => format!("backed: {fault}"),
        Backing::Present => "backed, by no fault that was recorded".to_owned(),
        Backing::TakenAway if fault.is_empty() => "not backed: the host's page was taken away".to_owned(),
        Backing::TakenAway => format!("not backed: taken away since {fault}"),
        Backing::Never => "never backed by the host".to_owned(),
        Backing::OutsideRam => "not RAM".to_owned(),
        Backing::NotRecorded => "the host's side was not recorded".to_owned(),
    };
    format!("{text}; {backing}")
}
