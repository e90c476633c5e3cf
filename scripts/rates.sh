#!/usr/bin/env bash
# How many host faults a second pagelab takes, by source, on this host or in a rig. See --help.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"

help() {
    cat <<'HELP'
Measures, in one run and in turn, so that what else the machine does falls on all alike:

  - first touches a second with each source of host faults alone, and with none
  - pages a second that come back after `--evict pages=all`, beside Linux's own KVM selftest demand_paging_test on as
    many pages (scripts/selftest.sh builds it; where it cannot, the rest is measured without it)
  - the whole run with --record none, and the same guest on plain memory in a loop around KVM_RUN

  scripts/rates.sh [amd|intel] [--pages N] [--runs N]

  amd, intel   in that rig (see scripts/nested-vm.sh) instead of on this host's KVM
  --pages N    pages to fault [default: 4096]
  --runs N     rounds; medians are shown [default: 5]

Ratios of one round are compared, not rounds: the median of the ratios need not be the ratio of the medians.
HELP
}

rig=''
case ${1:-} in
-h | --help)
    help
    exit
    ;;
amd | intel)
    rig=$1
    shift
    ;;
esac
arguments=()
while [ "$#" -gt 0 ]; do
    case $1 in
    -h | --help)
        help
        exit
        ;;
    --pages | --runs)
        [ "$#" -ge 2 ] || die "$1 needs a value; see --help"
        arguments+=("$1" "$2")
        shift 2
        ;;
    *) die "unknown argument $1; see --help" ;;
    esac
done

"$here/setup.sh" >&2
PATH="$HOME/.cargo/bin:$PATH"
cd "$here/.."
# Statically linked, so that the same files run here and in the rigs.
target=x86_64-unknown-linux-gnu
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --bin pagelab --example rates --target $target
built=$(realpath "${CARGO_TARGET_DIR:-target}/$target/release")
arguments+=(--pagelab "$built/pagelab")
if selftest=$("$here/selftest.sh"); then
    arguments+=(--selftest "$selftest")
else
    say "going on without Linux's demand_paging_test"
fi
if [ -n "$rig" ]; then
    exec "$here/nested-vm.sh" "$rig" --timeout 3600 --exec "$built/examples/rates" -- "${arguments[@]}"
fi
exec "$built/examples/rates" "${arguments[@]}"
