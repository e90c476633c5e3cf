# One run of a rig: what goes in, the emulator from start to end, what comes back. Sourced.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with nested-vm.sh

# 8 GiB.
disk_cylinders=16644

# Builds a pagelab that needs no libraries, beside the user's own builds, and says where it is.
build_pagelab() {
    local target=x86_64-unknown-linux-gnu
    (
        cd "$here/.." || exit
        scripts/setup.sh >&2
        PATH="$HOME/.cargo/bin:$PATH"
        RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --release --bin pagelab --target $target >&2 &&
            realpath "${CARGO_TARGET_DIR:-target}/$target/release/pagelab"
    )
}

# add_files ARG...: copies the files that arguments name, and has the file behind -o brought back.
add_files() {
    local argument output='' name
    for argument in "$@"; do
        case $output$argument in
        -o | --output) output=next && continue ;;
        next*) ;;
        --output=*) argument=${argument#*=} output=next ;;
        -o?*) argument=${argument#-o} output=next ;;
        esac
        if [ -n "$output" ]; then
            output=''
            fetched+=("$argument")
            name=$(realpath -ms "$argument")
            [ ! -d "${name%/*}" ] || mkdir -p "$tree${name%/*}"
            continue
        fi
        for name in "$argument" "${argument%:*}" "${argument#*=}"; do
            if [ -f "$name" ] && [ ! -e "$tree$(realpath -ms "$name")" ]; then
                copy_in "$name"
            fi
        done
    done
}

# write_command WORD...: what the rig's first process reads: settings, the command, what to bring back.
write_command() {
    local word
    {
        printf 'folder=%s\n' "$(quoted "$PWD")"
        printf 'hugepages=%s\n' "$hugepages"
    } >"$tree/rig/settings"
    {
        for word in "${variables[@]}"; do
            printf 'export %s\n' "$(quoted "$word")"
        done
        printf 'exec'
        for word in "$@"; do
            printf ' %s' "$(quoted "$word")"
        done
        printf '\n'
    } >"$tree/rig/command"
    for word in "${fetched[@]}"; do
        word=$(realpath -ms "$word")
        printf '%s\n' "${word#/}"
    done >"$tree/rig/fetch"
}

# Makes the rig's disk: what goes in, as a cpio archive, and room for what comes back in its place.
fill_disk() {
    archive "$tree" >"$scratch/disk" || die "cannot pack the rig's files"
    rm -r "$tree"
    # A size in whole cylinders of 16 heads and 63 sectors, since Bochs counts in them. The file is sparse.
    truncate -s $((disk_cylinders * 16 * 63 * 512)) "$scratch/disk"
}

# Starts the emulator and waits for its end, the timeout or a panic of the rig's kernel.
boot() {
    local serial=$scratch/serial deadline
    : >"$serial"
    rig_start "$scratch/disk" "$serial" 2>"$scratch/emulator" &
    emulator=$!
    deadline=$((SECONDS + limit))
    while kill -0 "$emulator" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || end_badly 124 "the rig did not end within $limit seconds (--timeout)"
        if grep -a -q 'Kernel panic' "$serial"; then
            sleep 1
            end_badly 125 "the rig's kernel panicked"
        fi
        sleep 0.1
    done
    wait "$emulator" || true
    emulator=''
}

# end_badly STATUS WHY: says why, shows the end of the serial log, and ends.
end_badly() {
    say "nested-vm.sh: $2. The end of its serial log:"
    tail -n 40 "$scratch/serial" | tr -d '\r\0' >&2
    head -n 5 "$scratch/emulator" >&2
    exit "$1"
}

# Unpacks the results: files to their places, both outputs to ours; sets $status.
bring_back() {
    local results=$scratch/results path
    mkdir "$results"
    tar -xf "$scratch/disk" --no-same-owner -C "$results" 2>/dev/null || true
    [ -s "$results/rig/status" ] || end_badly 125 "the rig ended without a result"
    for path in "${fetched[@]}"; do
        path=$(realpath -ms "$path")
        [ ! -d "$results$path" ] || mkdir -p "$path"
        [ ! -e "$results$path" ] || cp -RT "$results$path" "$path" ||
            say "nested-vm.sh: cannot bring back $path"
    done
    status=$(cat "$results/rig/status")
    cat "$results/rig/stderr" >&2
    cat "$results/rig/stdout"
}
