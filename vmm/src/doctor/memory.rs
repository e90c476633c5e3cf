//! Memory for guests.

use pagelab_abi::layout::MIN_MEMORY;

use super::Check;
use crate::vm::memory::host_available;

const NAME: &str = "memory";
const WHY: &str = "a guest's memory must fit into the host's";

pub(super) fn checks() -> Vec<Check> {
    let check = match host_available() {
        None => Check::unknown(NAME, WHY, "/proc/meminfo cannot be read"),
        Some(bytes) if bytes < MIN_MEMORY => Check::missing(
            NAME,
            WHY,
            format!("{} MiB are available, the smallest guest takes {} MiB", bytes >> 20, MIN_MEMORY >> 20),
            "ps aux --sort=-rss | head (end what takes the memory)",
        ),
        Some(bytes) => Check::ok(NAME, WHY, format!("{} MiB are available", bytes >> 20)),
    };
    vec![check.required()]
}
