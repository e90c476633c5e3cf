//! How values of options are written.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use pagelab_abi::{
    code::VmaIndex,
    layout::{MAX_MEMORY, MIN_MEMORY, PAGE_SIZE},
};

use crate::trap::TrapMethod;

/// Smallest and largest buffer.
const BUFFER: RangeInclusive<u64> = 4 << 10..=1 << 30;

/// A size in bytes with an optional suffix K, M or G (powers of 1024); `None` if it is beyond every limit.
fn size(text: &str) -> Result<Option<u64>, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => return Err("a size is a whole number with K, M or G, such as 64M".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a size is a whole number with K, M or G, such as 64M".to_owned())?;
    Ok(number.checked_mul(unit))
}

/// A size of a buffer.
pub(super) fn buffer(text: &str) -> Result<u64, String> {
    size(text)?.filter(|bytes| BUFFER.contains(bytes)).ok_or_else(|| "a buffer has from 4K to 1G".to_owned())
}

/// A size of guest memory, in whole pages.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    check_memory(size(text)?.unwrap_or(u64::MAX))
}

/// A size of guest memory that can be had.
pub(super) fn check_memory(bytes: u64) -> Result<u64, String> {
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&bytes) {
        return Err(format!("guest memory must be from {}M to {}G", MIN_MEMORY >> 20, MAX_MEMORY >> 30));
    }
    whole_pages(bytes)
}

/// A size of a part of guest memory, in whole pages; it may be 0.
pub(super) fn pages(text: &str) -> Result<u64, String> {
    size(text)?.ok_or_else(|| format!("there is at most {}G of guest memory", MAX_MEMORY >> 30)).and_then(whole_pages)
}

fn whole_pages(bytes: u64) -> Result<u64, String> {
    if bytes.is_multiple_of(PAGE_SIZE) { Ok(bytes) } else { Err("guest memory must be whole pages (4K)".to_owned()) }
}

/// A positive number of seconds, with a fraction if wanted.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a positive number of seconds, such as 10 or 0.5".to_owned())
}

/// A time from a millisecond to an hour with its unit, such as 100ms.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(duration))
        .ok_or_else(|| "a time from 1ms to 1h with its unit, such as 100ms or 2s".to_owned())
}

/// How VMAs are found.
pub(super) fn vma_index(text: &str) -> Result<VmaIndex, String> {
    VmaIndex::from_name(text).ok_or_else(|| "one of cached, tree, list".to_owned())
}

/// How guest faults are trapped.
pub(super) fn trap_method(text: &str) -> Result<TrapMethod, String> {
    let methods = [TrapMethod::Port, TrapMethod::Breakpoint];
    let found = methods.into_iter().find(|method| method.name() == text);
    found.ok_or_else(|| "faults are trapped by port or by breakpoint".to_owned())
}

/// An environment variable, `NAME=VALUE`.
pub(super) fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("an environment variable is written NAME=VALUE".to_owned()),
    }
}

/// A file of the host and where it appears in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSpec {
    /// The host's file.
    pub(super) host: PathBuf,
    /// Absolute path in the guest.
    pub(super) guest: String,
}

/// `HOST[:GUEST]`; without GUEST the file's own name in the guest's root.
pub(super) fn file(text: &str) -> Result<FileSpec, String> {
    if let Some((host, guest)) = text.rsplit_once(":/") {
        if host.is_empty() {
            return Err("the host's file is missing before the colon".to_owned());
        }
        return Ok(FileSpec { host: host.into(), guest: format!("/{guest}") });
    }
    if text.contains(':') {
        return Err("the path in the guest, after the colon, must begin with a slash".to_owned());
    }
    let host = PathBuf::from(text);
    let name = host.file_name().and_then(|name| name.to_str()).ok_or("a file is written HOST or HOST:/GUEST")?;
    Ok(FileSpec { guest: format!("/{name}"), host })
}

/// `HOST:GUEST`, a directory and where it appears in the guest.
pub(super) fn directory(text: &str) -> Result<FileSpec, String> {
    match text.rsplit_once(":/") {
        Some((host, guest)) if !host.is_empty() => {
            Ok(FileSpec { host: host.into(), guest: format!("/{}", guest.trim_end_matches('/')) })
        }
        _ => Err("a directory is written HOST:/GUEST, such as rootfs:/".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_units() {
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        for wrong in ["100", "0ms", "10us", "2h", "-1s", "soon", ""] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(memory("64M"), Ok(64 << 20));
        assert_eq!(memory("1g"), Ok(1 << 30));
        assert_eq!(memory("16384K"), Ok(16 << 20));
        assert_eq!(memory("16777216"), Ok(16 << 20));
        for bad in ["", "M", "64MB", "-1", "1.5G", "15M", "16777217", "999999999999G", "64 M", "0x10"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "NaN", "inf", "1e99", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables() {
        assert_eq!(variable("A=b=c"), Ok("A=b=c".to_owned()));
        assert_eq!(variable("A="), Ok("A=".to_owned()));
        assert!(variable("A").is_err());
        assert!(variable("=b").is_err());
    }

    #[test]
    fn directories() {
        let spec = |host: &str, guest: &str| Ok(FileSpec { host: host.into(), guest: guest.to_owned() });
        assert_eq!(directory("rootfs:/"), spec("rootfs", "/"));
        assert_eq!(directory("a:b/c:/usr/src/"), spec("a:b/c", "/usr/src"));
        for bad in ["", "rootfs", ":/x", "rootfs:x"] {
            assert!(directory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files() {
        let spec = |host: &str, guest: &str| Ok(FileSpec { host: host.into(), guest: guest.to_owned() });
        assert_eq!(file("dir/data.txt"), spec("dir/data.txt", "/data.txt"));
        assert_eq!(file("data.txt:/etc/x"), spec("data.txt", "/etc/x"));
        assert_eq!(file("a:b:/x"), spec("a:b", "/x"));
        for bad in ["", "/", "x:y", ":/x", ".."] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }
}
