//! What the host does with guest memory: what it is made of, and how it is disturbed.

use std::time::Duration;

use super::config::Sources;
use crate::{faults::Eviction, vm::Backing};

/// What the host does with guest memory.
#[derive(Clone, Debug, Default)]
pub struct HostMemory {
    /// What it is made of.
    pub backing: Backing,
    /// Pages are taken away at an interval.
    pub eviction: Option<Eviction>,
    /// Memory is write-protected at this interval.
    pub protect: Option<Duration>,
    /// Each fault is answered this much later than it could be.
    pub latency: Option<Duration>,
}

/// Wishes that this run's sources cannot fulfil.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostMemoryError {
    /// Contents would be lost.
    #[error(
        "--evict takes the contents of {backing} memory away for good unless uffd keeps them: add --record uffd, or use --backing memfd"
    )]
    NobodyKeeps {
        /// The backing.
        backing: Backing,
    },
    /// A source would take evicted pages for its own.
    #[error(
        "the source {source_name} knows nothing of evicted pages: use --record uffd, or no source with --backing memfd"
    )]
    Unaware {
        /// The source.
        source_name: &'static str,
    },
    /// Nobody write-protects.
    #[error("--protect is done by the source uffd: add --record uffd")]
    NobodyProtects,
    /// Nobody delays.
    #[error("--host-latency delays the answers of the source uffd: add --record uffd")]
    NobodyDelays,
}

impl HostMemory {
    /// Whether sources can do all that is asked for.
    pub(super) fn check(&self, sources: &Sources) -> Result<(), HostMemoryError> {
        let keeps = sources.host.iter().any(|source| source.keeps_evicted());
        if self.eviction.is_some() && !self.backing.is_file() && !keeps {
            return Err(HostMemoryError::NobodyKeeps { backing: self.backing });
        }
        let other = sources.host.iter().find(|source| source.resolves() && !source.keeps_evicted());
        if let (Some(_), Some(source)) = (self.eviction, other) {
            return Err(HostMemoryError::Unaware { source_name: source.name() });
        }
        if self.protect.is_some() && !sources.host.iter().any(|source| source.write_protects()) {
            return Err(HostMemoryError::NobodyProtects);
        }
        if self.latency.is_some() && !sources.host.iter().any(|source| source.delays()) {
            return Err(HostMemoryError::NobodyDelays);
        }
        Ok(())
    }

    /// Rows of the `run` view.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let nanoseconds = |duration: Duration| duration.as_nanos().to_string();
        let mut facts = vec![("backing".to_owned(), self.backing.name().to_owned())];
        facts.extend(self.eviction.map(|eviction| ("evict".to_owned(), eviction.to_string())));
        facts.extend(self.protect.map(|every| ("protect_interval_ns".to_owned(), nanoseconds(every))));
        facts.extend(self.latency.map(|latency| ("host_latency_ns".to_owned(), nanoseconds(latency))));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_source_does_is_refused_with_a_remedy() {
        let sources = |text: &str| text.parse::<Sources>().expect("valid");
        let every = Duration::from_millis(10);
        let eviction = Some(Eviction { every, pages: None });
        for (asked, error) in [
            (
                HostMemory { eviction, ..HostMemory::default() },
                HostMemoryError::NobodyKeeps { backing: Backing::Anonymous },
            ),
            (HostMemory { protect: Some(every), ..HostMemory::default() }, HostMemoryError::NobodyProtects),
            (HostMemory { latency: Some(every), ..HostMemory::default() }, HostMemoryError::NobodyDelays),
        ] {
            assert_eq!(asked.check(&sources("guest")), Err(error));
            assert_eq!(asked.check(&sources("uffd")), Ok(()));
        }
        let error = HostMemory { eviction, backing: Backing::Memfd, ..HostMemory::default() }
            .check(&sources("memory-fault"))
            .expect_err("it would miscount");
        assert_eq!(error, HostMemoryError::Unaware { source_name: "memory-fault" });
        let file = HostMemory { eviction, backing: Backing::Memfd, ..HostMemory::default() };
        assert_eq!(file.check(&sources("none")), Ok(()), "a file keeps its contents");
    }
}
