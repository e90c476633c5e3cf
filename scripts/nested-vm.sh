#!/usr/bin/env bash
# Runs pagelab, or another static program, in a Linux that has true nested paging. See --help.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
# shellcheck source=scripts/rig/packages.sh
. "$here/rig/packages.sh"
# shellcheck source=scripts/rig/image.sh
. "$here/rig/image.sh"
# shellcheck source=scripts/rig/emulator.sh
. "$here/rig/emulator.sh"

help() {
    cat <<'HELP'
Runs pagelab on true nested paging, without a CPU that has it: in Debian's Linux under an emulator.

  scripts/nested-vm.sh amd|intel [OPTIONS] -- ARGS...                runs `pagelab ARGS`
  scripts/nested-vm.sh amd|intel [OPTIONS] --exec FILE -- ARGS...    runs another statically linked program

  amd     QEMU's TCG with SVM and NPT; starts in about 5 seconds
  intel   Bochs with VMX and EPT; starts in about 15 seconds, and is some ten times slower

Neither needs /dev/kvm or root. Times measured in a rig are the emulator's; counts are those of real hardware.

Options:
  --memory SIZE           the rig's memory, in MiB or with suffix M or G [default: amd 1024, intel 256]
  --kernel-version V      Debian's kernel series: 6.12 or 6.1 [default: 6.12]
  --timeout SECONDS       end the rig after this long, with status 124 [default: 600]
  --hugepages N           2 MiB pages set aside [default: an eighth of the memory]
  --pagelab FILE          a statically linked pagelab, instead of building one
  --exec FILE             run this statically linked program instead of pagelab
  --copy HOST[:GUEST]     put a file or folder into the rig; without GUEST at the same path (repeatable)
  --env NAME=VALUE        add a variable to the command's environment (repeatable)
  --fetch PATH            bring this file or folder back from the rig (repeatable)
  --log FILE              keep the rig's serial log

What goes in: every argument that names a file of this machine, also behind `=` or before `:`, is put into the rig at
the same path, and the command runs in a folder of the same name as the current one. Standard input is empty; pagelab's
--stdin FILE works.
What comes back, at the end: standard output, standard error, the file that -o or --output names, pagelab's ./runs
folder, what --fetch names, and the exit status. 124: the timeout passed; 125: the rig (or the lab) failed.

The first run unpacks Debian packages (QEMU 30 MB, Bochs 20 MB, a kernel 40 MB) into a cache and installs nothing. The
cache is $PAGELAB_RIG_CACHE, or else pagelab/rig in $XDG_CACHE_HOME or ~/.cache; deleting it is always safe.

Examples:
  scripts/nested-vm.sh amd -- doctor
  scripts/nested-vm.sh amd -- run demand-paging -o faults.pagelab -- --pages 1000
  scripts/nested-vm.sh intel -- run ./sort --stdin words.txt --json
  scripts/nested-vm.sh amd --exec ./demand_paging_test -- -b 64M
HELP
}

# The rig's own failures, told apart from the command's status.
die() { say "nested-vm.sh: $*"; exit 125; }
value() { [ "$#" -ge 2 ] || die "$1 needs a value; see --help"; }

rig=${1:-}
case $rig in
-h | --help)
    help
    exit
    ;;
amd)
    # shellcheck source=scripts/rig/amd.sh
    . "$here/rig/amd.sh"
    ;;
intel)
    # shellcheck source=scripts/rig/intel.sh
    . "$here/rig/intel.sh"
    ;;
*) die "which rig, amd or intel? See --help" ;;
esac
shift

memory=$rig_memory version=6.12 limit=600 hugepages='' pagelab='' exec='' log=''
copies=() fetched=() variables=()
while [ "$#" -gt 0 ]; do
    case $1 in
    --)
        shift
        break
        ;;
    -h | --help)
        help
        exit
        ;;
    --memory | --kernel-version | --timeout | --hugepages | --pagelab | --exec | --copy | --env | --fetch | --log)
        value "$@"
        case $1 in
        --memory) memory=$2 ;;
        --kernel-version) version=$2 ;;
        --timeout) limit=$2 ;;
        --hugepages) hugepages=$2 ;;
        --pagelab) pagelab=$2 ;;
        --exec) exec=$2 ;;
        --copy) copies+=("$2") ;;
        --env) variables+=("$2") ;;
        --fetch) fetched+=("$2") ;;
        --log) log=$(realpath -m "$2") ;;
        esac
        shift 2
        ;;
    *) die "unknown option $1; what the rig shall run follows --, see --help" ;;
    esac
done
[[ $memory =~ ^([1-9][0-9]{0,5})([MmGg]?)$ ]] || die "--memory takes MiB, or 1G and the like, not $memory"
case ${BASH_REMATCH[2]} in [Gg]) memory=$((BASH_REMATCH[1] * 1024)) ;; *) memory=${BASH_REMATCH[1]} ;; esac
[ "$memory" -ge 128 ] || die "--memory takes 128 MiB at least"
[[ $limit =~ ^[1-9][0-9]{0,6}$ ]] || die "--timeout takes whole seconds, not $limit"
case $version in 6.1 | 6.12) ;; *) die "--kernel-version is 6.12 or 6.1, not $version" ;; esac
[[ ${hugepages:=$((memory / 16))} =~ ^[0-9]{1,6}$ ]] || die "--hugepages takes a number, not $hugepages"
if [ -z "$exec" ]; then
    [ "$#" -gt 0 ] || die "what shall pagelab do? Its arguments follow --; see --help"
    [ -n "$pagelab" ] || pagelab=$(build_pagelab) || die "pagelab could not be built"
    exec=$pagelab
    fetched+=(runs)
fi
{ [ -f "$exec" ] && [ -x "$exec" ]; } || die "$exec is not an executable file"

cache=${PAGELAB_RIG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pagelab/rig}
mkdir -p "$cache" || die "set PAGELAB_RIG_CACHE to a folder that can be written"
cache=$(realpath "$cache")
root=$cache/root kernel=$cache/kernel-$version
# Two rigs may start at once: one prepares, the other waits.
exec 9>"$cache/lock"
flock 9
fetch common busybox-static
busybox=$(packaged bin/busybox)
rig_packages
fetch_kernel "$version"
base=$cache/base-$rig-$version-$(cat "$here"/rig/{init,image.sh,"$rig.sh"} | sha256sum | cut -c 1-12)
[ -e "$base" ] || make_base "$rig_disk" "${rig_modules[@]}"
rig_prepare
exec 9>&-

scratch=$(mktemp -d "${TMPDIR:-/tmp}/pagelab-rig.XXXXXX")
emulator=''
# shellcheck disable=SC2317 # called by the trap
finish() {
    if [ -n "$emulator" ]; then
        kill "$emulator" 2>/dev/null || true
        wait "$emulator" 2>/dev/null || true
    fi
    [ -z "$log" ] || cp "$scratch/serial" "$log" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

tree=$scratch/tree
mkdir -p "$tree/rig" "$tree$PWD" "$tree/bin"
add_program "$exec" "$tree/bin/${exec##*/}"
add_files "$@"
for copy in "${copies[@]}"; do
    if [ -e "$copy" ]; then copy_in "$copy"; else copy_in "${copy%:*}" "${copy##*:}"; fi
done
write_command "/bin/${exec##*/}" "$@"
fill_disk
boot
bring_back
exit "$status"
