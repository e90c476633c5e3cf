//! Where host faults happen, for guests that tell nothing of their frames: regions and pages of guest memory, and the
//! instructions that reached there.

use rusqlite::params;
use serde::Serialize;

use super::RunFile;
use crate::trace::RunFileError;

/// Bytes of a region: what one 2 MiB page would hold.
const REGION_SHIFT: u32 = 21;
const PAGE_SHIFT: u32 = 12;
/// Most places of each kind.
pub const MOST_PLACES: usize = 10;

/// The places with the most host faults, each kind in falling order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HostPlaces {
    /// Regions of 2 MiB, by their first guest-physical address.
    pub regions: Vec<Place>,
    /// Pages that faulted more than once.
    pub pages: Vec<Place>,
    /// Instructions, where the source knows them.
    pub instructions: Vec<Place>,
}

/// A place and how many host faults it saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Guest-physical address, or RIP; in hexadecimal.
    pub address: String,
    /// Host faults.
    pub faults: u64,
}

impl HostPlaces {
    /// Reads a run file.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn read(run: &RunFile) -> Result<HostPlaces, RunFileError> {
        let places = |sql: &str, shift: u32, least: u32| {
            run.query(|conn| {
                conn.prepare(sql)?
                    .query_map(params![shift, least, MOST_PLACES as i64], |row| {
                        let address = row.get::<_, i64>(0)?.cast_unsigned();
                        Ok(Place { address: format!("0x{address:016x}"), faults: row.get(1)? })
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
        };
        let by_gpa = "SELECT gpa >> ?1 << ?1, count(*) FROM raw_host_fault GROUP BY 1 HAVING count(*) >= ?2
             ORDER BY 2 DESC, 1 LIMIT ?3";
        let by_rip = "SELECT rip >> ?1, count(*) FROM raw_host_fault WHERE rip IS NOT NULL GROUP BY 1
             HAVING count(*) >= ?2 ORDER BY 2 DESC, 1 LIMIT ?3";
        Ok(HostPlaces {
            regions: places(by_gpa, REGION_SHIFT, 1)?,
            pages: places(by_gpa, PAGE_SHIFT, 2)?,
            instructions: places(by_rip, 0, 1)?,
        })
    }
}
