#!/usr/bin/env bash
# Builds pagelab with its guest, boots a VM, runs demand-paging in it and prints the report. Arguments go to the
# program: scripts/demo.sh --pages 1000 --pattern random
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"

cargo build --release --bin pagelab
pagelab=${CARGO_TARGET_DIR:-target}/release/pagelab
"$pagelab" doctor >&2
exec "$pagelab" run demand-paging -- "$@"
