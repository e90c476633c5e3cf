#!/usr/bin/env bash
# Builds Linux's own KVM selftest demand_paging_test, to measure against. See --help.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
# shellcheck source=scripts/rig/packages.sh
. "$here/rig/packages.sh"

help() {
    cat <<'HELP'
Builds demand_paging_test, a KVM selftest of Linux 6.12, from Debian's package linux-source-6.12, statically linked so
that it runs in the rigs too, and prints its path. It takes 150 MB of download and a minute the first time; what was
built stays in $XDG_CACHE_HOME/pagelab, or in ~/.cache/pagelab.

  scripts/selftest.sh
  $(scripts/selftest.sh) -b 16M -u MISSING -s anonymous

It needs no root, but gcc, make, xz and Debian's package sources, with the security archive for Debian 12.
HELP
}

case ${1:-} in
'') ;;
-h | --help)
    help
    exit
    ;;
*) die "unknown argument $1; see --help" ;;
esac

version=6.12
package=linux-source-$version
folder=${XDG_CACHE_HOME:-$HOME/.cache}/pagelab
# private_apt keeps its package lists in $cache, which the rigs share.
cache=${PAGELAB_RIG_CACHE:-$folder/rig}
program=$folder/demand_paging_test-$version
if [ -x "$program" ]; then
    printf '%s\n' "$program"
    exit
fi
for tool in apt-get dpkg-deb gcc make tar xz; do
    has "$tool" || die "cannot build demand_paging_test: there is no $tool here"
done
mkdir -p "$folder" "$cache"
scratch=$(mktemp -d "$folder/selftest.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
log=$folder/selftest.log
say "fetching Debian's $package for demand_paging_test (150 MB, once)"
{
    flock 9
    private_apt apt-get update && private_apt apt-get download "$package"
} 9>"$cache/lock" >"$log" 2>&1 ||
    die "cannot get Debian's package $package: $(grep -E '^[EW]:' "$log" | head -n 1) (all of it: $log)"

say "building demand_paging_test"
# The selftest, and what its Makefile and the installation of Linux's headers for programs read.
parts=(Makefile scripts arch/x86 include/uapi tools/{arch/x86,build,include,lib,scripts}
    tools/testing/selftests/{kvm,rseq,lib.mk,kselftest.h,kselftest_harness.h})
{
    dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO "./usr/src/$package.tar.xz" |
        tar -xJ --strip-components=1 "${parts[@]/#/$package/}"
    make ARCH=x86 headers
    # The build is that of the Makefile, but for its linking; nothing else of the tree is made.
    make -C tools/testing/selftests/kvm ARCH=x86 LDFLAGS='-static -pthread' OUTPUT="$scratch/out" \
        KHDR_INCLUDES="-isystem $scratch/usr/include" "$scratch/out/demand_paging_test"
} >"$log" 2>&1 || die "demand_paging_test does not build here; what was said: $log"
mv out/demand_paging_test "$program.new"
mv "$program.new" "$program"
printf '%s\n' "$program"
