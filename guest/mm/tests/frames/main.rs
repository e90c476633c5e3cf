//! The frame allocator and memblock, on a machine made of ordinary memory.

mod address;
mod buddy;
mod conformance;
mod machine;
mod memblock;
mod mistakes;
mod mobility;
mod oracle;
mod state_machine;
mod world;
mod zones;
