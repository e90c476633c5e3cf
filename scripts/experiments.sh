#!/usr/bin/env bash
# The experiments of docs/, each with its table and, where it has one, its plot in docs/:
# scripts/experiments.sh find-vma|fragmentation|highmem [OPTIONS]; --help for the options of each.
# Instructions can be counted only where KVM emulates ring 0.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"
cargo build --release --bin pagelab --example experiments
built=${CARGO_TARGET_DIR:-target}/release
case ${1:-} in
find-vma | fragmentation) plot=(--plot "docs/$1.svg") ;;
*) plot=() ;;
esac
exec "$built/examples/experiments" --pagelab "$built/pagelab" "$@" "${plot[@]}"
