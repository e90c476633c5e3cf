#!/usr/bin/env bash
# Everything that must pass: format, lints of host and guest, all tests. Ends with the test runner's own counts.
# PAGELAB_SKIP_KVM=1 leaves out the tests that need KVM, PAGELAB_SKIP_RIGS=1 those in the nested rigs (which need no KVM,
# but minutes and Debian's packages): by name, and the runner counts them as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh tests
PATH="$HOME/.cargo/bin:$PATH"

echo "== format"
cargo fmt --all --check
if command -v shellcheck >/dev/null 2>&1; then
    echo "== scripts"
    shellcheck -x scripts/*.sh .ci/run
fi
echo "== lints: host"
cargo clippy --workspace --exclude pagelab-kernel --all-targets -- -D warnings
echo "== lints: guest"
for guest in guest/kernel guest/user; do
    (cd "$guest" && cargo clippy --profile guest -- -D warnings)
done
(cd guest/kernel && cargo clippy --profile guest --features selftest -- -D warnings)
if command -v cargo-deny >/dev/null 2>&1; then
    echo "== licences"
    cargo deny check licenses bans sources
fi
echo "== tests"
packages=(--workspace --exclude pagelab-kernel)
# The test binaries that need KVM: all of tests/ but those about the command line and the oracle's tools, and vm_* of the VMM.
need_kvm='(binary(/^vm_/) or (package(pagelab-tests) and not binary(command) and not binary(oracle_tool) and not binary(rigs)))'
skipped='none()'
[ "${PAGELAB_SKIP_KVM:-}" != 1 ] || skipped="$need_kvm"
[ "${PAGELAB_SKIP_RIGS:-}" != 1 ] || skipped="$skipped or binary(rigs)"
if command -v cargo-nextest >/dev/null 2>&1; then
    if [ "$skipped" != 'none()' ]; then
        echo "skipped, since PAGELAB_SKIP_KVM or PAGELAB_SKIP_RIGS is 1:"
        cargo nextest list "${packages[@]}" --run-ignored all -E "$skipped" 2>/dev/null
    fi
    cargo nextest run "${packages[@]}" --no-fail-fast --run-ignored all -E "not ($skipped)"
elif [ "$skipped" != 'none()' ]; then
    echo "leaving out tests needs cargo-nextest (cargo install cargo-nextest)" >&2
    exit 1
else
    cargo test "${packages[@]}" --no-fail-fast -- --include-ignored
fi
