//! Where a run file goes when nobody says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folder for run files, below the working directory.
const FOLDER: &str = "runs";
/// Files that may begin in the same second.
const TRIES: u32 = 1000;

/// A path in `./runs` that says when (`now`, UTC) and what, and that no file has yet. Makes the folder.
pub(super) fn run_file(program: &str, now: jiff::Timestamp) -> io::Result<PathBuf> {
    fs::create_dir_all(FOLDER).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot make the folder ./{FOLDER}: {error}; give a place with -o FILE"))
    })?;
    free(Path::new(FOLDER), &format!("{}-{program}", now.strftime("%Y%m%dT%H%M%SZ")))
}

fn free(folder: &Path, name: &str) -> io::Result<PathBuf> {
    (1..TRIES)
        .map(|number| match number {
            1 => folder.join(format!("{name}.pagelab")),
            _ => folder.join(format!("{name}-{number}.pagelab")),
        })
        .find(|path| !path.exists())
        .ok_or_else(|| io::Error::new(io::ErrorKind::AlreadyExists, format!("{name}: too many runs in one second")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_used_twice() {
        let folder = tempfile::tempdir().expect("a directory");
        let names: Vec<PathBuf> = (0..3)
            .map(|_| {
                let path = free(folder.path(), "x").expect("a free name");
                fs::write(&path, "").expect("a file");
                path
            })
            .collect();
        assert_eq!(names, ["x.pagelab", "x-2.pagelab", "x-3.pagelab"].map(|name| folder.path().join(name)));
    }
}
