//! The options of `pagelab run` about what the host does with guest memory.

use std::{num::NonZeroU64, time::Duration};

use clap::Args;

use crate::{
    faults::{Eviction, LONGEST_LATENCY},
    run::HostMemory,
    vm::Backing,
};

/// The shortest interval between two disturbances: each stops the guest.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// See [`HostMemory`].
#[derive(Args, Debug)]
#[command(next_help_heading = "What the host does with guest memory")]
pub(super) struct HostMemoryArgs {
    /// What guest memory is made of: anon (private memory in pages of 4 KiB), thp (transparent huge pages of 2 MiB),
    /// memfd (a shared file in memory: its page cache keeps evicted pages), hugetlb-2m (huge pages of 2 MiB from the
    /// host's pool).
    #[arg(long, value_name = "KIND", default_value_t)]
    backing: Backing,
    /// Take pages away from the guest at an interval, so that what it still uses faults again: N pages of 4 KiB at a
    /// time, in the order of their addresses, or all. Example: every=100ms,pages=all.
    #[arg(long, value_name = "every=TIME[,pages=N|all]", value_parser = eviction)]
    evict: Option<Eviction>,
    /// Write-protect guest memory at the start and then at an interval: the first write to each page is a host fault of
    /// the kind write_protect, and the view written_interval counts the pages written in each. Example: every=100ms.
    #[arg(long, value_name = "every=TIME", value_parser = every)]
    protect: Option<Duration>,
    /// Answer each host fault this much later, at most 1s, as if memory were far away. Example: 50us.
    #[arg(long, value_name = "TIME", value_parser = latency)]
    host_latency: Option<Duration>,
}

impl HostMemoryArgs {
    pub(super) fn host_memory(&self) -> HostMemory {
        HostMemory { backing: self.backing, eviction: self.evict, protect: self.protect, latency: self.host_latency }
    }
}

/// A positive time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let error = || format!("{text:?} is no time: give a number and its unit, such as 50us, 100ms or 1s");
    // A bare number has no unit.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let time: jiff::SignedDuration = text.parse().map_err(|_| error())?;
    Duration::try_from(time).ok().filter(|time| !time.is_zero()).ok_or_else(error)
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < SHORTEST_INTERVAL { Err("the interval must be at least 1ms".to_owned()) } else { Ok(time) }
}

/// `every=TIME`.
fn every(text: &str) -> Result<Duration, String> {
    interval(text.strip_prefix("every=").ok_or("an interval is written every=TIME, such as every=100ms")?)
}

/// `every=TIME[,pages=N|all]`, in any order.
fn eviction(text: &str) -> Result<Eviction, String> {
    let usage = || "an eviction is written every=TIME[,pages=N|all], such as every=100ms,pages=1000".to_owned();
    let (mut time, mut pages) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("every", value)) if time.is_none() => time = Some(interval(value)?),
            Some(("pages", "all")) if pages.is_none() => pages = Some(None),
            Some(("pages", value)) if pages.is_none() => {
                let number: NonZeroU64 =
                    value.parse().map_err(|_| "pages is all, or a number of pages from 1 on".to_owned())?;
                pages = Some(Some(number));
            }
            _ => return Err(usage()),
        }
    }
    Ok(Eviction { every: time.ok_or_else(usage)?, pages: pages.flatten() })
}

fn latency(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time > LONGEST_LATENCY { Err("a fault can be delayed by at most 1s".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(time("1.5ms"), Ok(Duration::from_micros(1500)));
        assert_eq!(time("2s"), Ok(Duration::from_secs(2)));
        for bad in ["", "5", "0s", "-1s", "x", "1 parsec", "99999999999999999999s"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert!(latency("1001ms").is_err());
        assert!(every("every=999us").is_err());
        assert_eq!(every("every=100ms"), Ok(Duration::from_millis(100)));
    }

    #[test]
    fn evictions() {
        let all = Eviction { every: Duration::from_millis(100), pages: None };
        assert_eq!(eviction("every=100ms"), Ok(all));
        assert_eq!(eviction("pages=all,every=100ms"), Ok(all));
        assert_eq!(eviction("every=100ms,pages=7"), Ok(Eviction { pages: NonZeroU64::new(7), ..all }));
        for bad in
            ["", "pages=1", "every=1ms,pages=0", "every=1ms,every=2ms", "100ms", "every=1ms,pages=-1", "every=1ms,x"]
        {
            assert!(eviction(bad).is_err(), "{bad}");
        }
    }
}
