#!/usr/bin/env bash
# Installs what building needs and this machine lacks: Debian packages, the Rust toolchain of rust-toolchain.toml, its
# components and the bare-metal target. Does nothing where everything is there.
# scripts/setup.sh tests: also what the tests' real programs (scripts/programs.sh) are made from, and the
# tools that read what the guest's /proc says.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

packages=()
has gcc || packages+=(gcc)
# Tests link C programs statically; rusqlite's bundled SQLite needs the headers.
[ -e /usr/lib/x86_64-linux-gnu/libc.a ] || [ -e /usr/lib64/libc.a ] || packages+=(libc6-dev)
targets=(x86_64-unknown-none)
case ${1:-} in
'') ;;
tests)
    lib=/usr/lib/x86_64-linux-gnu
    has g++ || packages+=(g++)
    has make || packages+=(make)
    has musl-gcc || packages+=(musl-tools)
    has tclsh || packages+=(tcl)
    has slabtop || packages+=(procps)
    has unshare || packages+=(util-linux)
    python3 -c 'import psutil' 2>/dev/null || /usr/bin/python3 -c 'import psutil' 2>/dev/null ||
        packages+=(python3 python3-psutil)
    has xz || packages+=(xz-utils)
    [ -e "$lib/libsqlite3.a" ] || packages+=(libsqlite3-dev)
    [ -e "$lib/liblua5.4.a" ] || packages+=(liblua5.4-dev)
    [ -e "$lib/libjemalloc.a" ] || packages+=(libjemalloc-dev)
    targets+=(x86_64-unknown-linux-musl)
    ;;
*) die "scripts/setup.sh, or scripts/setup.sh tests" ;;
esac
install_packages "${packages[@]}"

PATH="$PATH:$HOME/.cargo/bin"
has cargo || die "there is no Rust here: install rustup (https://rustup.rs) first"

if has rustup; then
    channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    [ -n "$channel" ] || die "rust-toolchain.toml names no channel"
    if ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
        rustup toolchain install "$channel" --profile minimal --component rustfmt,clippy --target "${targets[0]}"
    fi
    # Cargo may not add these by itself: RUSTUP_AUTO_INSTALL=0 forbids it.
    for needed in "${targets[@]}"; do
        rustup target list --toolchain "$channel" --installed | grep -x "$needed" >/dev/null ||
            rustup target add --toolchain "$channel" "$needed"
    done
    for component in rustfmt clippy; do
        rustup component list --toolchain "$channel" --installed | grep "^$component" >/dev/null ||
            rustup component add --toolchain "$channel" "$component"
    done
else
    for needed in "${targets[@]}"; do
        [ -d "$(rustc --print target-libdir --target "$needed")" ] ||
            die "this Rust was not installed by rustup; please install its target $needed"
    done
fi
