#!/usr/bin/env bash
# Runs the tests that need KVM in a nested rig: scripts/rig-tests.sh amd|intel [TEST-FILE...]
# By default: in the AMD rig all of them but real_programs.rs and proc_tools.rs, whose programs need compilers and the
# network to be made;
# in the Intel rig, where everything is ten times slower, those of smoke.rs.
# Prints each failed test's output, each skipped test with its reason, and the counts last. The status is 1 if one fails.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

rig=${1:-}
case $rig in
amd) memory=2G limit=2400 ;;
intel) memory=384M limit=600 ;;
*) die "which rig, amd or intel?" ;;
esac
shift
if [ "$#" -eq 0 ]; then
    case $rig in
    amd)
        for file in vmm/tests/vm_*.rs tests/tests/*.rs; do
            name=$(basename "$file" .rs)
            case $name in command | oracle_tool | proc_tools | real_programs | rigs) ;; *) set -- "$@" "$name" ;; esac
        done
        ;;
    intel) set -- smoke ;;
    esac
fi

scripts/setup.sh tests
PATH="$HOME/.cargo/bin:$PATH"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
target=x86_64-unknown-linux-gnu
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$folder RUSTFLAGS='-C target-feature=+crt-static'
# No debugging information: nothing in the rig reads it, and it is most of each file.
export CARGO_PROFILE_DEV_DEBUG=false CARGO_INCREMENTAL=0
tests=()
for name in "$@"; do
    tests+=(--test "$name")
done
say "rig $rig: building the tests"
cargo test --quiet --no-run --target "$target" -p pagelab -p pagelab-tests "${tests[@]}" \
    --message-format=json-render-diagnostics >"$scratch/built"
cargo run --quiet --target "$target" -p pagelab-tests --example compile_programs -- "$scratch/programs"

copies=()
{
    echo '#!/bin/sh'
    for name in "$@"; do
        binary=$(sed -n "s/.*\"executable\":\"\([^\"]*\/$name-[0-9a-f]*\)\".*/\1/p" "$scratch/built" | tail -n 1)
        [ -n "$binary" ] || die "cargo built no test called $name"
        copies+=(--copy "$binary:/tests/$name")
        echo "echo '== $name'"
        # One thread: the rig has one CPU. What a test that passed printed is shown for the sake of "skipped: ...".
        echo "timeout -s KILL 900 /tests/$name --test-threads=1 --show-output || echo '== status' \$?"
    done
} >"$scratch/run-tests"
chmod +x "$scratch/run-tests"

say "rig $rig: running $*"
scripts/nested-vm.sh "$rig" --memory "$memory" --timeout "$limit" --env PAGELAB_TEST_PROGRAMS=/programs \
    "${copies[@]}" --copy "$folder/$target/debug/pagelab-under-test" --copy "$scratch/programs:/programs" \
    --exec "$scratch/run-tests" -- >"$scratch/output" 2>"$scratch/errors" ||
    { cat "$scratch/errors" "$scratch/output" >&2; die "the $rig rig failed"; }
awk -v rig="$rig" -f scripts/rig/summary.awk "$scratch/output"
