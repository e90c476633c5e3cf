//! The frame allocator, memblock and arenas, on a machine made of ordinary memory.

mod arena;
mod buddy;
mod machine;
mod memblock;
mod oracle;
mod state_machine;
mod zones;
