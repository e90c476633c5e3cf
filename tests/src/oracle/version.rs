//! Which Linux is the examiner: some answers changed from version to version.

use std::fs;

/// The version of the Linux that this runs on, as major and minor number.
pub fn linux() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux tells its release");
    parse(&release).unwrap_or_else(|| panic!("Linux's release {release:?}"))
}

/// Major and minor number of a release such as `6.12.41-amd64`.
pub fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
