//! What a path in the guest leads to.

use super::{Entry, Initramfs};

impl Initramfs<'_> {
    /// Whether a directory is at the absolute path `path`, which may lead through links.
    pub fn is_directory(&self, path: &str) -> bool {
        path.starts_with('/') && matches!(self.follow(path), Some(Step::Directory))
    }

    /// The bytes of the file at the absolute path `path`, which may lead through links.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match self.follow(path)? {
            Step::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What a path leads to when all links are followed.
    fn follow(&self, path: &str) -> Option<Step<'_>> {
        const MAX_LINKS: usize = 40;
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            path = match self.step(&path)? {
                Step::Link(path) => path,
                end => return Some(end),
            };
        }
        None
    }

    /// Walks a path up to its end or the first link.
    fn step(&self, path: &str) -> Option<Step<'_>> {
        let mut at: Vec<&str> = Vec::new();
        let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        while let Some(part) = parts.next() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            match self.entries.get(&at.join("/"))? {
                Entry::Directory { .. } => {}
                Entry::File { bytes, .. } => return parts.next().is_none().then_some(Step::File(bytes)),
                Entry::Link { target } => {
                    at.pop();
                    let target = str::from_utf8(target).ok()?;
                    let base = if target.starts_with('/') { String::new() } else { at.join("/") };
                    let rest: Vec<&str> = parts.collect();
                    return Some(Step::Link(format!("/{base}/{target}/{}", rest.join("/"))));
                }
            }
        }
        Some(Step::Directory)
    }
}

/// Where a walk stops.
enum Step<'a> {
    /// At a directory.
    Directory,
    /// At a file.
    File(&'a [u8]),
    /// At a link, after which the path is this.
    Link(String),
}
