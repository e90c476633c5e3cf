//! The runtime of pagelab's built-in programs: start, arguments, output, system calls.
//!
//! A program is one file in `src/bin` that ends with `program!(NAME, run)`. It is an ordinary static Linux executable:
//! the same file runs natively and in the lab, and its output must be the same in both.
#![cfg_attr(not(test), no_std)]

pub mod arguments;
pub mod buddy;
pub mod memory;
pub mod order;
pub mod output;
pub mod start;
pub mod sys;
pub mod wild;
