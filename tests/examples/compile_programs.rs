//! Compiles the tests' C programs and broken kernels into a folder, for tests on a machine without a compiler: see
//! `scripts/rig-tests.sh`. With `oracle` behind the folder only the programs of `tests/oracle`: see `scripts/oracle.sh`.

use std::{env, fs, path::PathBuf};

fn main() {
    let folder = env::args_os().nth(1).map(PathBuf::from).expect("the folder to fill");
    fs::create_dir_all(&folder).expect("the folder can be made");
    if env::args().nth(2).as_deref() == Some("oracle") {
        pagelab_tests::compile_all_oracle(&folder);
    } else {
        pagelab_tests::compile_all(&folder);
        pagelab_tests::build_broken_kernels(&folder);
    }
}
