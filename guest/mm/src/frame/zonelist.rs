//! In which order a request looks at zones: its node's own first, then the nearer nodes', in each node from the highest
//! zone down.
//!
//! ```text
//!   request on node 0, highest zone Normal; node 1 nearer than node 2
//!   node 0: Normal DMA32 DMA | node 1: Normal | node 2: Normal
//! ```

use pagelab_abi::{boot::MAX_NODES, snapshot::ZONES};

use super::{ALL_ZONES, zone::Zone};

/// Zones by number, in an order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ZoneList {
    zones: [u8; ALL_ZONES],
    count: u8,
    /// Of these: the node's own.
    own: u8,
}

impl ZoneList {
    /// The zones that have RAM, in the order of their numbers.
    pub(super) fn populated(zones: &[Zone]) -> ZoneList {
        let mut list = ZoneList::default();
        (0..zones.len()).for_each(|id| list.push_populated(zones, id));
        list
    }

    /// What a request on `node` looks at.
    pub(super) fn of_node(zones: &[Zone], node: usize, distance: &[[u8; MAX_NODES]; MAX_NODES]) -> ZoneList {
        let mut nodes = [0, 1, 2, 3];
        const { assert!(MAX_NODES == 4) };
        // At the same distance, the nodes after this one come before those before it, so that not all turn to node 0.
        nodes.sort_unstable_by_key(|&other| (other != node, distance[node][other], other < node, other));
        let mut list = ZoneList::default();
        for other in nodes {
            for index in (0..ZONES).rev() {
                list.push_populated(zones, other * ZONES + index);
            }
            if other == node {
                list.own = list.count;
            }
        }
        list
    }

    fn push_populated(&mut self, zones: &[Zone], id: usize) {
        if zones[id].present > 0 {
            self.zones[usize::from(self.count)] = id as u8;
            self.count += 1;
        }
    }

    /// The zones' numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.zones[..usize::from(self.count)].iter().map(|&id| usize::from(id))
    }

    /// The zones up to index `highest` in their node, of the node alone or of all.
    pub(super) fn allowed(&self, highest: usize, own_only: bool) -> impl Iterator<Item = usize> + '_ {
        let count = if own_only { self.own } else { self.count };
        self.iter().take(usize::from(count)).filter(move |id| id % ZONES <= highest)
    }
}
