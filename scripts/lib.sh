# What the scripts share. Sourced, not run.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: as it is, or with sudo that asks for no password, or with sudo that asks on a terminal.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$@"
    else
        die "this needs root, and sudo cannot be used here. As root, run: $*"
    fi
}

# Installs Debian packages, named after the commands or files that are missing.
install_packages() {
    [ "$#" -gt 0 ] || return 0
    has apt-get || die "please install what Debian calls: $* (there is no apt-get here to do it)"
    say "installing: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}
