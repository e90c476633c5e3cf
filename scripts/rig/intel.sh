# The Intel rig: Bochs, which implements VMX with EPT. Sourced.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with nested-vm.sh

rig_memory=256
rig_modules=(ata_piix sd_mod kvm-intel)
rig_disk=/dev/sda

rig_packages() {
    fetch intel bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso lz4
}

# rig_prepare: makes from the initramfs in $base what the emulator boots, a CD image.
rig_prepare() {
    local iso=$base.iso.tree
    [ ! -e "$base.iso" ] || return 0
    rm -rf "$iso"
    mkdir -p "$iso"
    cp "$(packaged usr/lib/ISOLINUX/isolinux.bin)" "$(packaged usr/lib/syslinux/modules/bios/ldlinux.c32)" "$iso"
    cp "$kernel/vmlinuz" "$iso/vmlinuz"
    with_libraries "$(packaged usr/bin/lz4)" -q -l -9 "$base" "$iso/initrd"
    # What costs Bochs most at boot is left out: the crypto self-tests alone are 0.7 G instructions.
    cat >"$iso/isolinux.cfg" <<CFG
DEFAULT rig
LABEL rig
KERNEL vmlinuz
INITRD initrd
APPEND console=ttyS0,115200 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on nosmp noxsave nopti cryptomgr.notests initcall_blacklist=load_system_certificate_list,jent_mod_init,init_kprobe_trace,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init rcupdate.rcu_expedited=1
CFG
    with_libraries "$(packaged usr/bin/xorriso)" -as mkisofs -quiet -o "$base.iso.new" -b isolinux.bin -c boot.cat \
        -no-emul-boot -boot-load-size 4 -boot-info-table "$iso" >"$cache/xorriso.log" 2>&1 ||
        die "cannot make the rig's boot disk: $(tail -n 3 "$cache/xorriso.log")"
    rm -r "$iso"
    mv "$base.iso.new" "$base.iso"
}

# rig_start DISK SERIAL: becomes the emulator.
rig_start() {
    cat >"$scratch/bochsrc" <<RC
config_interface: textconfig
display_library: term
romimage: file=$(packaged usr/share/bochs/BIOS-bochs-latest)
vgaromimage: file=$(packaged usr/share/bochs/VGABIOS-lgpl-latest)
megs: $memory
cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path=$1, mode=flat, cylinders=$disk_cylinders, heads=16, spt=63
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=cdrom, path=$base.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$2
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
sound: driver=dummy, waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
log: $scratch/bochs.log
RC
    echo c >"$scratch/bochs.commands"
    # Its only display without X is a terminal.
    TERM=xterm with_libraries exec script -qefc \
        "stty rows 40 cols 132; exec '$(packaged usr/bin/bochs-bin)' -q -f '$scratch/bochsrc' -rc '$scratch/bochs.commands'" \
        /dev/null </dev/null >/dev/null
}
