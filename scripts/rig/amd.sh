# The AMD rig: QEMU's TCG, which implements SVM with nested paging. Sourced.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with nested-vm.sh

rig_memory=1024
rig_modules=(virtio_pci virtio_blk kvm-amd)
rig_disk=/dev/vda

rig_packages() { has qemu-system-x86_64 || fetch amd qemu-system-x86; }

# rig_prepare: makes from the initramfs in $base what the emulator boots.
rig_prepare() { :; }

# rig_start DISK SERIAL: becomes the emulator.
rig_start() {
    local qemu=qemu-system-x86_64 where=()
    if [ -x "$root/usr/bin/$qemu" ]; then
        qemu=$root/usr/bin/$qemu
        where=(-L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
    fi
    # One CPU: with two, QEMU's multi-threaded TCG crashes the Linux in it. Without SMAP, which TCG applies to a program's
    # own IRET and far RET. Without five-level paging, which most machines lack and which changes what mmap refuses.
    with_libraries exec "$qemu" "${where[@]}" -accel tcg -cpu max,+svm,-la57,-smap -m "$memory" -smp 1 -nodefaults -no-reboot \
        -display none -serial "file:$2" -drive "file=$1,format=raw,if=virtio,cache=unsafe" -kernel "$kernel/vmlinuz" -initrd "$base" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable"
}
