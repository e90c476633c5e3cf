#!/usr/bin/env bash
# Everything that must pass: format, lints of host and guest, all tests. Ends with the test runner's own counts.
# PAGELAB_SKIP_KVM=1 lets a machine without KVM skip, by name, the tests that need it.
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
cargo clippy --workspace --all-targets -- -D warnings
echo "== lints: guest"
for guest in guest/kernel guest/user; do
    (cd "$guest" && cargo clippy --profile guest -- -D warnings)
done
if command -v cargo-deny >/dev/null 2>&1; then
    echo "== licences"
    cargo deny check licenses bans sources
fi
echo "== tests"
if command -v cargo-nextest >/dev/null 2>&1; then
    # Tests that are skipped say so, but nextest keeps what a passing test says to itself.
    output=never
    [ "${PAGELAB_SKIP_KVM:-}" != 1 ] || output=final
    cargo nextest run --workspace --exclude pagelab-kernel --no-fail-fast --success-output "$output"
else
    cargo test --workspace --exclude pagelab-kernel --no-fail-fast
fi
