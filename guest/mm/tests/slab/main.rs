//! Caches of kernel objects: what each implementation must do, with each set of checks, and what it must notice.

mod corruption;
mod events;
mod model;
mod pool;
mod random;
mod rules;
