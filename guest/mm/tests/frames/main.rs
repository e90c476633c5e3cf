//! The frame allocator, memblock and arenas, on a machine made of ordinary memory.

mod arena;
mod buddy;
mod machine;
