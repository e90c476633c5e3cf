#!/usr/bin/env bash
# Renews the baseline of what the guest kernel's operations cost: docs/costs.json, which tests/tests/costs.rs holds new
# costs against, and the table in docs/costs.md. Needs a host whose KVM emulates ring 0, since its instructions are counted.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"
cargo build --bin pagelab
table=$(mktemp)
trap 'rm -f "$table"' EXIT
"${CARGO_TARGET_DIR:-target}/debug/pagelab" bench --save docs/costs.json --markdown >"$table"
! grep -q '^skipped' "$table" || die "$(cat "$table")"
# What is between the two marks is the table.
sed -i -e '/^<!-- table -->$/,/^<!-- end of table -->$/{/^<!-- table -->$/r '"$table" -e '/^<!--/!d}' docs/costs.md
git --no-pager diff --stat docs
