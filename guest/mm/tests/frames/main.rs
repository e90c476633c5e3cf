//! The frame allocator and memblock, on a machine made of ordinary memory.

mod buddy;
mod machine;
mod memblock;
mod oracle;
mod state_machine;
mod world;
mod zones;
