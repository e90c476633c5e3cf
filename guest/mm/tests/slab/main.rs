//! Caches of kernel objects: what each implementation must do, with each set of checks, and what it must notice.

mod model;
mod random;
mod rules;
