//! A kernel that panics: the real one, given a boot info that lies.

mod vm_support;

use std::{mem::offset_of, sync::Arc, time::Duration};

use crossbeam_channel::unbounded;
use pagelab::{
    builtin,
    vm::{
        Image, Vm, VmConfig, diagnosis,
        ring::RingReader,
        symbols::Symbols,
        vcpu::{End, Finished, VcpuStatus, VcpuTask, spawn},
    },
};
use pagelab_abi::{boot::BootInfo, layout::BOOT_INFO_PHYS};

/// Boots the real kernel after `lie` has had its way with memory; the finished vCPU and its diagnosis.
fn boot(lie: impl FnOnce(&Vm)) -> (Finished, String) {
    vm_support::need_kvm();
    let config = VmConfig { image: Image::Elf(builtin::KERNEL), ..vm_support::config(&[]) };
    let vm = Vm::create(&config).expect("the machine can be made");
    lie(&vm);
    let (sink, inputs) = unbounded();
    let ring = RingReader::new(vm.window.clone()).expect("the window holds a header");
    let task = VcpuTask { vcpu: vm.vcpu, ram: vm.ram.clone(), ring, sink, console: None };
    let vcpu = spawn(task, Arc::new(VcpuStatus::default())).expect("a thread can be had").start(Vec::new());
    let finished = vcpu.finished.recv_timeout(Duration::from_secs(20)).expect("the guest ends by itself");
    drop(inputs);
    let text = diagnosis::describe(&finished, &vm.ram, &Symbols::from_elf(builtin::KERNEL));
    (finished, text.expect("an abnormal end has a diagnosis"))
}

fn overwrite(vm: &Vm, field: usize, bytes: &[u8]) {
    vm.ram.write(BOOT_INFO_PHYS + field as u64, bytes).expect("the boot info lies in RAM");
}

#[test]
fn a_kernel_panic_says_why_and_where() {
    let beyond = 1u64 << 40;
    let (finished, text) = boot(|vm| overwrite(vm, offset_of!(BootInfo, initramfs_size), &beyond.to_le_bytes()));
    assert_eq!(finished.end, End::Panic);
    assert!(text.contains("a physical range ends beyond the direct map"), "{text}");
    assert!(text.contains("guest/kernel/src/machine.rs"), "{text}");
    for section in ["registers (ring 0)", "backtrace", "pagelab_kernel::boot::start"] {
        assert!(text.contains(section), "{section} is missing in\n{text}");
    }
}

#[test]
fn a_panic_before_there_is_a_ring_is_still_a_panic() {
    let (finished, text) = boot(|vm| overwrite(vm, offset_of!(BootInfo, ram_count), &0u32.to_le_bytes()));
    assert_eq!(finished.end, End::Panic);
    assert!(text.contains("backtrace"), "{text}");
}

#[test]
fn another_version_of_the_boundary_is_refused() {
    let (finished, text) = boot(|vm| overwrite(vm, offset_of!(BootInfo, version), &0x7777u32.to_le_bytes()));
    assert_eq!(finished.end, End::AbiMismatch(pagelab_abi::ABI_VERSION));
    assert!(text.contains("version"), "{text}");
}
