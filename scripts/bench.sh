#!/usr/bin/env bash
# What the lab itself costs: time to the first guest instruction, ring-0 instructions a fault and a system call, and
# recording against not recording. Numbers come from the run files (KVM's own counters among them); where perf is
# installed (Debian: linux-perf) its count of emulated instructions is set beside KVM's.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
PATH="$HOME/.cargo/bin:$PATH"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

runs=${RUNS:-5}
cargo build --release --bin pagelab
pagelab=${CARGO_TARGET_DIR:-target}/release/pagelab
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
file=$scratch/run.pagelab
gcc -static -O2 -o "$scratch/null_calls" tests/programs/null_calls.c

# run RECORD PROGRAM [ARG...]: one run, into $file.
run() {
    "$pagelab" run -o "$file" --record "$1" --console "$2" -- "${@:3}" </dev/null >/dev/null ||
        die "the run of $2 failed"
}
# fact KEY: a row of the last run's `run` view; empty if it has none.
fact() { "$pagelab" report "$file" --json | sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1; }
# median KEY RECORD PROGRAM [ARG...]: of $runs runs.
median() {
    local key=$1 count
    shift
    for ((count = 0; count < runs; count++)); do
        run "$@"
        fact "$key"
    done | middle
}
# The middle one of $runs numbers.
middle() { sort -n | sed -n "$(((runs + 1) / 2))p"; }
# instructions RECORD PROGRAM [ARG...]: ring-0 instructions that KVM emulated.
instructions() {
    run "$@"
    echo $(($(fact kvm.insn_emulation) + $(fact kvm.insn_emulation_fail)))
}
# each TOTAL_OF_FEW TOTAL_OF_MANY DIFFERENCE: cost of one, with one digit.
each() { awk -v few="$1" -v many="$2" -v count="$3" 'BEGIN { printf "%.1f", (many - few) / count }'; }
milliseconds() { awk -v ns="$1" 'BEGIN { printf "%.1f ms", ns / 1e6 }'; }
row() { printf '%-58s %16s   %s\n' "$@"; }

run none hello
host=$(fact host_mmu)
echo "host: $host, $(fact cpu_model), Linux $(fact kernel_release); medians of $runs runs"
echo
row "" "measured" "aim"
row "start of pagelab to the first guest instruction" "$(milliseconds "$(median first_instruction_ns guest,uffd hello)")" "< 10 ms"
row "start of pagelab to the end of hello" "$(milliseconds "$(median end_ns guest,uffd hello)")" "< 1000 ms on shadow"

pages=2000
# Taken in turn, so that what else the machine does falls on both; the ratio is the median of the pairs' ratios.
for ((count = 0; count < runs; count++)); do
    run guest,uffd demand-paging --pages $pages
    recorded=$(fact wall_ns)
    run none demand-paging --pages $pages
    echo "$recorded $(fact wall_ns)"
done >"$scratch/pairs"
row "demand-paging --pages $pages, recorded" "$(milliseconds "$(cut -d' ' -f1 "$scratch/pairs" | middle)")" ""
row "demand-paging --pages $pages, --record none" "$(milliseconds "$(cut -d' ' -f2 "$scratch/pairs" | middle)")" ""
row "recorded / not recorded" "$(awk '{ printf "%.2f\n", $1 / $2 }' "$scratch/pairs" | middle)" "< 1.3"

if [ "$host" != shadow ]; then
    echo
    echo "Ring-0 instructions are not counted here: KVM emulates, and so counts, ring 0 on a shadow-paging host only."
    exit 0
fi

# Both counts of pages lie under one page-table page, so that the difference is faults and what each page costs in the
# snapshot at the end.
few=64 many=448
for record in guest,uffd guest none; do
    first=$(instructions $record demand-paging --pages $few)
    records=$(fact events_decoded)
    last=$(instructions $record demand-paging --pages $many)
    records=$(each "${records:-0}" "$(fact events_decoded)" $((many - few)))
    case $record in none) aim="< 650" ;; *) aim="< 800" ;; esac
    row "ring-0 instructions an anonymous write fault, $record" "$(each "$first" "$last" $((many - few)))" "$aim"
    row "  bytes moved: the zeroed page and the records" "$(awk -v n="$records" 'BEGIN { print 4096 + 64 * n }')" ""
done
for record in guest,uffd none; do
    first=$(instructions $record "$scratch/null_calls" 0)
    last=$(instructions $record "$scratch/null_calls" 1000)
    row "ring-0 instructions a null system call, $record" "$(each "$first" "$last" 1000)" ""
done

if has perf; then
    counted=$(perf stat -x, -e kvm:kvm_emulate_insn "$pagelab" run -o "$file" --console hello </dev/null 2>&1 >/dev/null |
        sed -n 's/^\([0-9]*\),.*kvm_emulate_insn.*/\1/p') || counted=
    [ -z "$counted" ] || row "hello: ring-0 instructions by perf, by KVM's counters" \
        "$counted, $(($(fact kvm.insn_emulation) + $(fact kvm.insn_emulation_fail)))" "equal"
fi
