#!/usr/bin/env bash
# Compares Linux and the lab: runs the same static C programs natively and in the lab. See --help and docs/oracle.md.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

help() {
    cat <<'HELP'
Runs the same static C programs natively and in the lab, and compares what they print.

  scripts/oracle.sh [--rig] [--filter TEXT]                 the fixed cases of tests/oracle
  scripts/oracle.sh [--rig] --random N [--seeds 1,2,3]      N random operations, spread over the seeds
  scripts/oracle.sh [--rig] --script FILE                   one script of operations, as a difference prints it
  scripts/oracle.sh --list                                  the cases and what they are about

Options:
  --rig              the lab in the AMD rig (see scripts/nested-vm.sh); Linux's answers are this machine's all the same, since
                     the rig's Linux is an older one
  --filter TEXT      only cases whose name contains TEXT
  --random N         random operations of memory calls and touches; the first difference of each seed is shrunk
  --seeds A,B,C      where the random operations come from [default: 1,2,3]
  --episode N        operations from one reset to the next [default: 150]
  --script FILE      runs the operations in FILE; a difference is shrunk
  --itself           Linux against itself: shows what its answers depend on besides the script
  --print            the scripts of the seeds, instead of running them
  --lab-option X     an option for `pagelab run` (repeatable)
  --timeout SECONDS  the longest time one run of the lab may take [default: 600]

The status is 0 if something was compared and all of it is equal, 1 if something differs, 125 if it could not be done.
HELP
}

rig='' script='' args=()
while [ "$#" -gt 0 ]; do
    case $1 in
    -h | --help)
        help
        exit
        ;;
    --rig) rig=amd ;;
    --script)
        [ "$#" -ge 2 ] || die "--script needs a value"
        script=$(realpath "$2")
        args+=(--script "$script")
        shift
        ;;
    *) args+=("$1") ;;
    esac
    shift
done

scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")
build=(cargo build --quiet -p pagelab-tests --bin pagelab-under-test --example oracle --example compile_programs)
if [ -z "$rig" ]; then
    "${build[@]}"
    exec "$folder/debug/examples/oracle" --pagelab "$folder/debug/pagelab-under-test" "${args[@]}"
fi

# In the rig there is no compiler: the programs are compiled here.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
target=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=$folder RUSTFLAGS='-C target-feature=+crt-static'
export CARGO_PROFILE_DEV_DEBUG=false CARGO_INCREMENTAL=0
"${build[@]}" --target "$target"
built=$folder/$target/debug
"$built/examples/compile_programs" "$scratch/programs" oracle
mkdir "$scratch/answers"
# Linux against itself: what differs then is no answer. It says nothing unless it fails.
PAGELAB_TEST_PROGRAMS=$scratch/programs "$built/examples/oracle" --record "$scratch/answers" "${args[@]}" >"$scratch/recorded" ||
    { cat "$scratch/recorded" >&2; die "Linux does not answer twice alike"; }
scripts/nested-vm.sh "$rig" --memory 2G --timeout "${PAGELAB_ORACLE_LIMIT:-3600}" --env PAGELAB_TEST_PROGRAMS=/programs \
    --copy "$built/pagelab-under-test:/pagelab" --copy "$scratch/programs:/programs" --copy "$scratch/answers:/answers" \
    --exec "$built/examples/oracle" -- --pagelab /pagelab --answers /answers "${args[@]}"
