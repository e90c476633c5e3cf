//! Address spaces: Linux's rules one by one, random work against a naive map of pages, and random work against the
//! Linux that runs this test.

mod brk;
mod linux;
mod mapping;
mod model;
mod oracle;
mod protecting;
mod scarce;
mod seen;
mod stack;
mod world;
