#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: Debian packages, the Rust toolchain of
# rust-toolchain.toml, its components and the bare-metal target. Does nothing where everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

packages=()
has gcc || packages+=(gcc)
# Tests link C programs statically; rusqlite's bundled SQLite needs the headers.
[ -e /usr/lib/x86_64-linux-gnu/libc.a ] || [ -e /usr/lib64/libc.a ] || packages+=(libc6-dev)
install_packages "${packages[@]}"

PATH="$PATH:$HOME/.cargo/bin"
has cargo || die "there is no Rust here: install rustup (https://rustup.rs) first"

target=x86_64-unknown-none
if has rustup; then
    channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    [ -n "$channel" ] || die "rust-toolchain.toml names no channel"
    if ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
        rustup toolchain install "$channel" --profile minimal --component rustfmt,clippy --target "$target"
    fi
    # Cargo may not add these by itself: RUSTUP_AUTO_INSTALL=0 forbids it.
    rustup target list --toolchain "$channel" --installed | grep -x "$target" >/dev/null ||
        rustup target add --toolchain "$channel" "$target"
    for component in rustfmt clippy; do
        rustup component list --toolchain "$channel" --installed | grep "^$component" >/dev/null ||
            rustup component add --toolchain "$channel" "$component"
    done
elif ! [ -d "$(rustc --print target-libdir --target "$target")" ]; then
    die "this Rust was not installed by rustup; please install its target $target"
fi
