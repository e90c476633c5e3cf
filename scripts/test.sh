#!/usr/bin/env bash
# Everything that must pass: format, lints of host and guest, all tests. Ends with the test runner's own counts.
# PAGELAB_SKIP_KVM=1 leaves out the tests that need KVM, by name, and the runner counts them as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
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
if command -v cargo-deny >/dev/null 2>&1; then
    echo "== licences"
    cargo deny check licenses bans sources
fi
echo "== tests"
packages=(--workspace --exclude pagelab-kernel)
# The test binaries that need KVM: all of tests/ but the one about the command line, and vm_* of the VMM.
need_kvm='binary(/^vm_/) or (package(pagelab-tests) and not binary(command))'
if command -v cargo-nextest >/dev/null 2>&1; then
    filter='all()'
    if [ "${PAGELAB_SKIP_KVM:-}" = 1 ]; then
        filter="not ($need_kvm)"
        echo "skipped, since PAGELAB_SKIP_KVM=1:"
        cargo nextest list "${packages[@]}" -E "$need_kvm" 2>/dev/null
    fi
    cargo nextest run "${packages[@]}" --no-fail-fast -E "$filter"
elif [ "${PAGELAB_SKIP_KVM:-}" = 1 ]; then
    echo "leaving out tests needs cargo-nextest (cargo install cargo-nextest)" >&2
    exit 1
else
    cargo test "${packages[@]}" --no-fail-fast
fi
