#!/usr/bin/env bash
# Runs the tests of memory management's allocators under Miri. See --help.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

help() {
    cat <<'HELP'
Runs host tests of guest/mm under Miri, which sees undefined behaviour and leaks, its dependencies' and the standard
library's too: slab (with mempool), frames and kernel_space. The machines are the smallest that will do and random histories
are short; tests that need large ones are ignored, and say so. It takes minutes, and rustup's nightly toolchain with
miri and rust-src, which it installs.

  scripts/miri.sh                          # all three
  scripts/miri.sh slab                     # one of them
  scripts/miri.sh frames -- conformance::  # some of its tests

MIRIFLAGS is passed on.
HELP
}

case ${1:-} in
-h | --help)
    help
    exit
    ;;
esac

binaries=()
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    binaries+=("$1")
    shift
done
[ "$#" -eq 0 ] || shift
[ "${#binaries[@]}" -gt 0 ] || binaries=(slab frames kernel_space)

PATH="$HOME/.cargo/bin:$PATH"
has rustup || die "Miri comes with rustup's nightly toolchain, and there is no rustup here"
installed=$(rustup component list --toolchain nightly --installed 2>/dev/null) || installed=
if ! grep -q '^miri' <<<"$installed" || ! grep -q '^rust-src' <<<"$installed"; then
    say "installing: the nightly toolchain's miri and rust-src"
    rustup toolchain install nightly --profile minimal --component miri --component rust-src >&2
fi

# Property tests look for the file of the failures they know, and the times are the host's.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
cargo +nightly miri test -p pagelab-mm "${binaries[@]/#/--test=}" -- -Zunstable-options --report-time "$@"
