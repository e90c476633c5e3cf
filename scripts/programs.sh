#!/usr/bin/env bash
# Makes the real programs that tests and docs/programs.md are about, once, and prints where they are:
# scripts/programs.sh [NAME...] (all of them by default).
# They are Debian's own, or linked statically from Debian's libraries and source packages, or small programs of
# tests/programs/real in C, C++ and Rust. PAGELAB_PROGRAMS says where they go (~/.cache/pagelab/programs).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

programs=(busybox memtester sqlite3 lua dash heavy-glibc heavy-musl heavy-jemalloc heavy-mimalloc everything
    standard-gnu standard-musl)
cache=${PAGELAB_PROGRAMS:-$HOME/.cache/pagelab/programs}
real=tests/programs/real

# apt with folders of its own, that knows the source packages of this Debian.
source_apt() {
    local command=$1 state=$cache/apt codename
    shift
    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    echo "deb-src http://deb.debian.org/debian ${codename:-stable} main" >"$state/sources.list"
    "$command" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$state/state" -o Dir::Cache="$state/cache" -o Dir::State::status=/var/lib/dpkg/status \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

# Unpacks what the author of a Debian source package wrote into $work/source. apt checks the sums.
get_source() {
    has apt-get || die "$1 is built from Debian's source package, and there is no apt-get here"
    mkdir -p "$work/source"
    source_apt apt-get -qq update
    (cd "$work" && source_apt apt-get -qq --download-only source "$1")
    tar -x -f "$(echo "$work"/*.orig.tar.*)" -C "$work/source" --strip-components 1
}

# Runs a compiler, and shows what it said only if it fails: the linker warns that dlopen and the like need shared libraries.
link() {
    "$@" 2>"$work/said" || { cat "$work/said" >&2; return 1; }
}

make_busybox() {
    cp /bin/busybox "$1"
}

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

# Makes one program, unless it is there and neither this script nor its own source has changed since.
build() {
    local name=$1 stamp sources=scripts/programs.sh
    case $name in
    heavy-*) sources+=" $real/heavy.c" ;;
    everything) sources+=" $real/everything.cc" ;;
    standard-*) sources+=" $real/standard.rs" ;;
    esac
    # shellcheck disable=SC2086  # names without blanks
    stamp=$(cat $sources | sha256sum)
    if ! [ -x "$cache/$name" ] || [ "$stamp" != "$(cat "$cache/$name.stamp" 2>/dev/null)" ]; then
        say "making $name"
        work=$(mktemp -d)
        # In a shell of its own, for the right side of || switches `set -e` off, and so would an `if`.
        (set -e; "make_$name" "$work/$name") || true
        [ -x "$work/$name" ] || { rm -rf "$work"; die "$name could not be made; scripts/setup.sh tests installs what it needs"; }
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
