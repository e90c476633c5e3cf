#!/usr/bin/env bash
# Puts mistakes into memory management, one at a time, and says which tests of it notice:
# scripts/mutations.sh [NAME...] (all of tests/mutations by default). The tree itself is not touched.
# The status is 1 if a mistake goes unnoticed. About a minute for each.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"
has cargo-nextest || die "this needs cargo-nextest (cargo install cargo-nextest)"

if [ "$#" -eq 0 ]; then
    for patch in tests/mutations/*.patch; do
        set -- "$@" "$(basename "$patch" .patch)"
    done
fi
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutations
tree=$folder/tree
export CARGO_TARGET_DIR=$folder/target
unnoticed=0
for name in "$@"; do
    [ -e "tests/mutations/$name.patch" ] || die "there is no tests/mutations/$name.patch"
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z Cargo.toml Cargo.lock rust-toolchain.toml guest vmm tests fuzz | xargs -0 cp --parents -t "$tree"
    (cd "$tree" && patch --quiet --strip 1) <"tests/mutations/$name.patch" ||
        die "tests/mutations/$name.patch does not fit the code any more: make it anew"
    # The times of files say nothing after a copy.
    find "$tree/guest/mm/src" -name '*.rs' -exec touch {} +
    if (cd "$tree" && timeout 600 cargo nextest run -p pagelab-mm --no-fail-fast --status-level fail --color never) \
        >"$folder/log" 2>&1; then
        say "$name: NOT NOTICED"
        unnoticed=1
        continue
    fi
    grep -q 'Summary' "$folder/log" || { tail -n 20 "$folder/log" >&2; die "$name: the tests could not be run"; }
    failed=$(sed -n 's/^ *\(FAIL\|TIMEOUT\|ABORT\|SIG[A-Z]*\) .*) pagelab-mm\(::\| \)//p' "$folder/log" | sort -u)
    printf '%s: %s\n' "$name" "$(echo "$failed" | wc -l) tests"
    printf '%s\n' "$failed" | sed 's/^/    /'
done
exit "$unnoticed"
