//! Which files can be run, why others cannot, and what is mapped for one.

mod mapping;
mod words;
