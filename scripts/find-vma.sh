#!/usr/bin/env bash
# What find_vma costs with few and with many VMAs, by list, tree, and tree with cache: a table, and the plot
# docs/find-vma.svg. Needs a host whose KVM emulates ring 0, since its instructions are counted.
# Options go to the example find_vma of vmm: --vmas N,N,... --lookups N --plot FILE.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"
cargo build --release --bin pagelab --example find_vma
built=${CARGO_TARGET_DIR:-target}/release
exec "$built/examples/find_vma" --pagelab "$built/pagelab" --plot docs/find-vma.svg "$@"
