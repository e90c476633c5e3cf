#!/usr/bin/env bash
# Makes the real programs that tests and docs/programs.md are about, once, and prints where they are:
# scripts/programs.sh [NAME...] (all of them by default).
# They are static programs that Debian ships (one of them, the node exporter, runs beside the lab), or Debian's sources linked statically, or small programs of
# tests/programs/real in C, C++ and Rust. PAGELAB_PROGRAMS says where they go (~/.cache/pagelab/programs).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

programs=(busybox bash zsh e2fsck memtester sqlite3 lua dash heavy-glibc heavy-musl heavy-jemalloc heavy-mimalloc everything
    standard-gnu standard-musl)
cache=${PAGELAB_PROGRAMS:-$HOME/.cache/pagelab/programs}
real=tests/programs/real

# apt-get with folders of its own, so that it changes nothing on this machine.
own_apt() {
    local state=$cache/apt
    apt-get -qq -o Dir::State="$state/state" -o Dir::Cache="$state/cache" -o Dir::State::status=/var/lib/dpkg/status \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

# The same, which knows the packages of this machine's Debian and their sources, and no others.
private_apt() { own_apt -o Dir::Etc::SourceList="$cache/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null "$@"; }

# Asks Debian what there is, unless that was done within the last hour.
update_apt() {
    local state=$cache/apt where
    has apt-get || die "this is made of Debian's packages, and there is no apt-get here"
    [ -z "$(find "$state/updated" -mmin -60 2>/dev/null)" ] || return 0
    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    # Other sources of this machine may be out of reach; the next lines see whether Debian is.
    own_apt update || true
    # shellcheck disable=SC2016 # apt-get replaces these.
    where='$(REPO_URI) $(RELEASE) main'
    own_apt indextargets --format "deb $where
deb-src $where" 'Created-By: Packages' 'Origin: Debian' | sort -u >"$state/sources.list"
    [ -s "$state/sources.list" ] || die "this machine's apt-get knows no Debian to take packages from"
    private_apt update
    touch "$state/updated"
}

# Unpacks a file of a Debian package: get_package PACKAGE FILE TO.
get_package() {
    update_apt
    (cd "$work" && private_apt download "$1" && dpkg -x "$1"_*.deb package)
    cp "$work/package/$2" "$3"
}

# Unpacks what the author of a Debian source package wrote into $work/source. apt checks the sums.
get_source() {
    mkdir -p "$work/source"
    update_apt
    (cd "$work" && private_apt --download-only source "$1")
    tar -x -f "$(echo "$work"/*.orig.tar.*)" -C "$work/source" --strip-components 1
}

# Runs a compiler, and shows what it said only if it fails: the linker warns that dlopen and the like need shared libraries.
link() {
    "$@" 2>"$work/said" || { cat "$work/said" >&2; return 1; }
}

make_busybox() { get_package busybox-static bin/busybox "$1"; }
make_bash() { get_package bash-static bin/bash-static "$1"; }
make_zsh() { get_package zsh-static bin/zsh-static "$1"; }
make_e2fsck() { get_package e2fsck-static sbin/e2fsck.static "$1"; }

make_node-exporter() { get_package prometheus-node-exporter usr/bin/prometheus-node-exporter "$1"; }

make_memtester() {
    get_source memtester
    gcc -static -O2 -w -DPOSIX -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -DTEST_NARROW_WRITES \
        -o "$1" "$work"/source/{memtester,tests}.c
}

# Debian has the library for static linking, but not the shell's source in the form that compiles.
make_sqlite3() {
    get_source sqlite3
    tclsh "$work/source/tool/mkshellc.tcl" >"$work/shell.c"
    link gcc -static -O2 -w -o "$1" "$work/shell.c" -lsqlite3 -lm -lpthread -ldl
}

make_lua() {
    get_source lua5.4
    link gcc -static -O2 -DLUA_USE_POSIX -I/usr/include/lua5.4 -o "$1" "$work/source/src/lua.c" -llua5.4 -lm
}

make_dash() {
    get_source dash
    (cd "$work/source" && ./configure --quiet --enable-static && make -s -j2) >"$work/log" 2>&1 ||
        { tail -n 30 "$work/log" >&2; return 1; }
    cp "$work/source/src/dash" "$1"
}

make_heavy-glibc() { gcc -static -O2 -o "$1" "$real/heavy.c"; }
make_heavy-musl() { musl-gcc -static -O2 -o "$1" "$real/heavy.c"; }
make_heavy-jemalloc() { g++ -x c -static -O2 -o "$1" "$real/heavy.c" -x none -ljemalloc -lm -lpthread -ldl; }

make_heavy-mimalloc() {
    get_source mimalloc
    gcc -static -O2 -DMI_MALLOC_OVERRIDE -DNDEBUG -I"$work/source/include" -o "$1" "$work/source/src/static.c" \
        "$real/heavy.c" -lpthread
}

make_everything() { g++ -static -O2 -o "$1" "$real/everything.cc"; }

# As scripts/setup.sh left it: the toolchain and its two targets for Linux.
rust() {
    PATH="$PATH:$HOME/.cargo/bin" RUSTFLAGS='' rustc --edition 2024 -O -C target-feature=+crt-static \
        --target "x86_64-unknown-linux-$2" -o "$1" "$real/standard.rs"
}
make_standard-gnu() { rust "$1" gnu; }
make_standard-musl() { rust "$1" musl; }

# Makes one program, unless it is there and neither its recipe here nor a source of tests/programs/real has changed since.
build() {
    local name=$1 stamp status
    stamp=$({
        declare -f "make_$name"
        case $name in heavy-* | everything | standard-*) cat "$real/${name%%-*}".* ;; esac
    } | sha256sum)
    if ! [ -x "$cache/$name" ] || [ "$stamp" != "$(cat "$cache/$name.stamp" 2>/dev/null)" ]; then
        say "making $name"
        work=$(mktemp -d)
        # Neither `if` nor `||`: each would switch `set -e` off in the recipe.
        set +e
        (set -e; "make_$name" "$work/$name")
        status=$?
        set -e
        if [ "$status" -ne 0 ]; then
            rm -rf "$work"
            die "$name could not be made; scripts/setup.sh tests installs what it needs"
        fi
        mv "$work/$name" "$cache/$name"
        echo "$stamp" >"$cache/$name.stamp"
        rm -rf "$work"
    fi
    echo "$cache/$name"
}

[ "$#" -gt 0 ] || set -- "${programs[@]}"
mkdir -p "$cache"
# Tests that run side by side ask for the same programs.
exec 9>"$cache/lock"
flock 9
for name in "$@"; do
    declare -F "make_$name" >/dev/null || die "there is no program called $name: ${programs[*]}"
    build "$name"
done
