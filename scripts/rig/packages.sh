# Debian packages for the rigs, unpacked into the cache: nothing is installed, so no root is needed. Sourced.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with nested-vm.sh

# apt with folders of its own: it takes this machine's sources and sees what is installed here, but changes nothing.
private_apt() {
    local command=$1 state=$cache/apt
    shift
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    "$command" -q -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Languages=none \
        -o Dir::State="$state/" -o Dir::State::Lists="$state/lists/" -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::Cache="$state/" -o Dir::Cache::Archives="$state/archives/" "$@"
}

# fetch SET PACKAGE...: unpacks the packages, and what they need that is not installed here, into $root. Once a SET.
fetch() {
    local set=$1 deb log=$cache/apt.log
    shift
    [ ! -e "$root/.$set" ] || return 0
    { has apt-get && has dpkg; } || die "this rig is made of Debian packages, and there is no apt-get and dpkg here: $*"
    say "rig: unpacking into $cache: $*"
    mkdir -p "$root"
    {
        private_apt apt-get update && rm -f "$cache"/apt/archives/*.deb &&
            private_apt apt-get install -y --download-only --no-install-recommends "$@" </dev/null
    } >"$log" 2>&1 || die "cannot get Debian's packages $*: $(grep -E '^[EW]:' "$log" | head -n 3) (all of it: $log)"
    for deb in "$cache"/apt/archives/*.deb; do
        case ${deb##*/} in
        # The C library must stay the one that this machine's loader belongs to.
        libc6_* | libc-bin_* | '*.deb') ;;
        *) dpkg -x "$deb" "$root" || die "cannot unpack $deb" ;;
        esac
    done
    rm -f "$cache"/apt/archives/*.deb
    touch "$root/.$set"
}

# fetch_kernel VERSION: Debian's signed cloud kernel of that series into $kernel: vmlinuz and its modules.
fetch_kernel() {
    local version=$1 log=$cache/apt.log package image='' work=$kernel.new
    [ ! -e "$kernel/vmlinuz" ] || return 0
    { has apt-get && has dpkg; } || die "the rig's kernel is Debian's linux-image-cloud-amd64, and there is no apt-get here"
    private_apt apt-get update >"$log" 2>&1 || die "apt-get update fails; it said: $log"
    # A later series has a package of its own name beside the release's first one.
    for package in "linux-image-$version-cloud-amd64" linux-image-cloud-amd64; do
        image=$(private_apt apt-cache depends "$package" 2>/dev/null |
            sed -n "s/^ *Depends: \(linux-image-${version/./\\.}\..*\)$/\1/p" | head -n 1)
        [ -z "$image" ] || break
    done
    [ -n "$image" ] ||
        die "no package source of this machine has Debian's cloud kernel $version: Debian 12 has it in its security archive"
    say "rig: unpacking into $cache: $image"
    rm -rf "$work"
    mkdir -p "$work"
    (cd "$work" && private_apt apt-get download "$image" && dpkg -x linux-image-*.deb unpacked) >"$log" 2>&1 ||
        die "cannot get Debian's package $image; what apt said: $log"
    mv "$work"/unpacked/boot/vmlinuz-* "$work/vmlinuz"
    mv "$work"/unpacked/lib/modules/* "$work/modules"
    rm -rf "$work/unpacked" "$work"/*.deb "$kernel"
    mv "$work" "$kernel"
}

# The place of a package's file: unpacked, or installed on this machine.
packaged() {
    local folder
    for folder in "$root" ''; do
        if [ -e "$folder/$1" ]; then
            printf '%s\n' "$folder/$1"
            return 0
        fi
    done
    # It was installed when the rig was made, and has been removed since.
    rm -f "$root"/.[a-z]*
    die "/$1 is neither installed nor in $root any more; start this again, and it is fetched"
}

# with_libraries COMMAND...: runs an unpacked program with the libraries unpacked beside it.
with_libraries() {
    local lib=usr/lib/x86_64-linux-gnu
    LD_LIBRARY_PATH=$root/$lib:$root/lib/x86_64-linux-gnu:$root/$lib/pulseaudio:$root/$lib/bochs/plugins \
        LTDL_LIBRARY_PATH=$root/$lib/bochs/plugins QEMU_MODULE_DIR=$root/$lib/qemu "$@"
}
