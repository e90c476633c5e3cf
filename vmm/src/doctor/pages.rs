//! Huge pages of both kinds: transparent ones and the hugetlb pool.

use super::{Check, host::Host};

const THP: (&str, &str) = ("thp", "without it guest memory never gets transparent huge pages (--backing thp)");
const HUGETLB: (&str, &str) = ("hugetlb", "without free pages of 2 MiB there is no --backing hugetlb-2m");
const POOL: &str = "sys/kernel/mm/hugepages/hugepages-2048kB";

pub(super) fn checks(host: &Host) -> Vec<Check> {
    vec![thp(host), hugetlb(host)]
}

fn thp(host: &Host) -> Check {
    let (name, why) = THP;
    match host.read("sys/kernel/mm/transparent_hugepage/enabled") {
        Err(_) => Check::missing(
            name,
            why,
            "this kernel has no transparent huge pages",
            "boot a kernel built with CONFIG_TRANSPARENT_HUGEPAGE=y",
        ),
        Ok(text) => match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
            Some(("never", _)) => Check::missing(
                name,
                why,
                "switched off",
                "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
            ),
            Some((mode, _)) => Check::ok(name, why, format!("{mode}: the lab asks for them where it wants them")),
            None => Check::unknown(name, why, format!("not understood: {text:?}")),
        },
    }
}

fn hugetlb(host: &Host) -> Check {
    let (name, why) = HUGETLB;
    let Some(total) = host.number(&format!("{POOL}/nr_hugepages")) else {
        return Check::missing(
            name,
            why,
            "this kernel has no hugetlb pages of 2 MiB",
            "boot a kernel built with CONFIG_HUGETLBFS=y",
        );
    };
    let free = host.number(&format!("{POOL}/free_hugepages")).unwrap_or(0);
    let reserved = host.number(&format!("{POOL}/resv_hugepages")).unwrap_or(0);
    match free - reserved {
        ..=0 => Check::missing(
            name,
            why,
            format!("no page of 2 MiB is free, of {total}"),
            format!("echo {} | sudo tee /{POOL}/nr_hugepages (32 pages are a guest of 64 MiB)", total + 32),
        ),
        usable => Check::ok(name, why, format!("{usable} pages of 2 MiB are free: a guest of {} MiB", usable * 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Status, host::tests::made_of};

    #[test]
    fn transparent_huge_pages() {
        let status = |text| {
            let (_folder, host) = made_of(&[("sys/kernel/mm/transparent_hugepage/enabled", text)]);
            thp(&host).status
        };
        assert_eq!(status("always [madvise] never\n"), Status::Ok);
        assert_eq!(status("always madvise [never]\n"), Status::Missing);
        assert_eq!(status("?"), Status::Unknown);
        assert_eq!(thp(&made_of(&[]).1).status, Status::Missing);
    }

    #[test]
    fn the_hugetlb_pool() {
        let check = |free, reserved| {
            let folder = "sys/kernel/mm/hugepages/hugepages-2048kB/";
            let files = [("nr_hugepages", "40"), ("free_hugepages", free), ("resv_hugepages", reserved)]
                .map(|(name, number)| (format!("{folder}{name}"), number));
            let files: Vec<_> = files.iter().map(|(path, number)| (path.as_str(), *number)).collect();
            let (_folder, host) = made_of(&files);
            hugetlb(&host)
        };
        assert!(check("10", "2").found.contains("a guest of 16 MiB"));
        let full = check("8", "8");
        assert_eq!(full.status, Status::Missing);
        assert!(full.fix.is_some_and(|fix| fix.starts_with("echo 72 ")));
    }
}
