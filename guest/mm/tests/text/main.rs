//! The texts of `/proc`: against the ones of the running Linux, whose texts are read into snapshots, so that what is
//! rendered of those must be the same bytes; and against texts that were taken from a Linux and written down.

mod linux;
mod mappings;
mod memory;
mod process;
mod system;
mod vmalloc;
mod written_down;
mod zones;
