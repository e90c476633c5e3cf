# What a rig boots: Debian's kernel, and an initramfs of busybox and kernel modules. Sourced.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with nested-vm.sh

# archive FOLDER: its contents as the kernel reads an initramfs, on standard output.
archive() { (cd "$1" && find . -mindepth 1 | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null); }

# One module's file in this kernel; nothing if it is built in.
module_file() {
    local name=${1//_/-} file
    file=$(find "$kernel/modules" \( -name "$name.ko*" -o -name "${name//-/_}.ko*" \) -print -quit)
    if [ -z "$file" ] && ! grep -q "/\(${name}\|${name//-/_}\)\.ko$" "$kernel/modules/modules.builtin"; then
        die "Debian's kernel in $kernel has no module $1"
    fi
    printf '%s' "$file"
}

# add_modules FOLDER NAME...: the modules, what they depend on first, numbered in the order of their loading.
add_modules() {
    local folder=$1 name file plain needs
    shift
    for name in "$@"; do
        compgen -G "$folder/[0-9][0-9]-${name//_/-}.ko" >/dev/null && continue
        file=$(module_file "$name") || exit
        [ -n "$file" ] || continue
        plain=$folder/.module
        case $file in *.xz) "$busybox" xz -dc "$file" ;; *) cat "$file" ;; esac >"$plain"
        ! has strip || strip -g --strip-unneeded -R .BTF "$plain"
        needs=$(tr '\0' '\n' <"$plain" | LC_ALL=C sed -n 's/^depends=//p')
        mv "$plain" "$folder/.$name"
        # shellcheck disable=SC2086 # a list of names without special characters
        add_modules "$folder" ${needs//,/ }
        mv "$folder/.$name" "$(printf '%s/%02d-%s.ko' "$folder" "$(find "$folder" -name '[0-9]*' | wc -l)" "${name//_/-}")"
    done
}

# make_base DISK MODULE...: the initramfs, which knows nothing of the command that will run, into $base.
make_base() {
    local tree=$base.tree disk=$1
    shift
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,root,modules} "$tree/tmp"
    chmod 1777 "$tree/tmp"
    cp "$busybox" "$tree/bin/busybox"
    cp "$here/rig/init" "$tree/init"
    printf '%s\n' "$disk" >"$tree/disk"
    chmod 755 "$tree/init" "$tree/bin/busybox"
    add_modules "$tree/modules" "$@"
    archive "$tree" >"$base.new"
    rm -rf "$tree"
    mv "$base.new" "$base"
}

# copy_in HOST [GUEST]: a file or folder of the host, at the same absolute path in the rig or at the one given.
copy_in() {
    local from=$1 to
    to=$tree$(realpath -ms "${2:-$1}")
    mkdir -p "${to%/*}"
    cp -RLT --preserve=mode,timestamps "$from" "$to" || die "cannot copy $from into the rig"
}

# add_program FROM TO: an executable without its debugging information, which is most of it.
add_program() {
    if ! has strip || ! strip -g -o "$2" "$1" 2>/dev/null; then
        cp -L "$1" "$2"
    fi
    chmod 755 "$2"
}

# A word as the rig's shell reads it.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }
