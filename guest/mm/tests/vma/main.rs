//! The VMA set by itself: pictures of split and merge, and random work against a naive map of pages.

mod area;
mod merge;
mod random;
mod split;
mod strip;
