//! Tiny hand-assembled guests and what it takes to run them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, unbounded};
use pagelab::{
    trace::Input,
    vm::{
        Backing, Image, MemoryPolicy, Program, Vm, VmConfig,
        memory::TraceWindow,
        ring::RingReader,
        vcpu::{Finished, RunningVcpu, VcpuStatus, VcpuTask, spawn},
    },
};
use pagelab_abi::{
    code::BulkKind,
    layout::KERNEL_PHYS,
    port,
    record::{RECORD_SIZE, RecordKind},
    ring::{HEAD_OFFSET, RECORDS_OFFSET},
};

/// Fails the test where there is no KVM.
pub(crate) fn need_kvm() {
    if let Err(error) = pagelab::vm::machine::open_kvm() {
        panic!("this test needs KVM: {error}\n(PAGELAB_SKIP_KVM=1 scripts/test.sh leaves out what needs it)");
    }
}

/// Machine code under construction, for ring 0 of 64-bit mode.
#[derive(Clone, Default)]
pub(crate) struct Code(pub(crate) Vec<u8>);

impl Code {
    /// Raw bytes.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Code {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `rdtsc; shl rdx, 32; or rax, rdx; mov r8, rax; mov edx, CLOCK; out dx, eax`
    pub(crate) fn clock(self) -> Code {
        self.read_clock().out(pagelab_abi::port::CLOCK, 0)
    }

    /// Reads the TSC into R8.
    pub(crate) fn read_clock(self) -> Code {
        self.bytes(&[0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x49, 0x89, 0xc0])
    }

    /// `mov edx, port; mov eax, value; out dx, eax`
    pub(crate) fn out(self, port: u16, value: u32) -> Code {
        self.bytes(&[0xba])
            .bytes(&u32::from(port).to_le_bytes())
            .bytes(&[0xb8])
            .bytes(&value.to_le_bytes())
            .bytes(&[0xef])
    }

    /// `mov rbx, address; mov rax, value; mov [rbx], rax`
    pub(crate) fn store(self, address: u64, value: u64) -> Code {
        self.bytes(&[0x48, 0xbb])
            .bytes(&address.to_le_bytes())
            .bytes(&[0x48, 0xb8])
            .bytes(&value.to_le_bytes())
            .bytes(&[0x48, 0x89, 0x03])
    }

    /// Maps the trace window at [`WINDOW`] and, after it, 2 MiB of the device hole at [`NOTHING`].
    pub(crate) fn map_window(self) -> Code {
        let low_pdpt = pagelab_abi::layout::INITIAL_TABLES_PHYS + 0x1000;
        let directory = 0x20_0000;
        let mut code = self.store(low_pdpt + 8, directory | 3);
        for index in 0..2 {
            code = code.store(directory + index * 8, pagelab_abi::layout::TRACE_WINDOW_PHYS + (index << 21) + 0x83);
        }
        code.store(directory + 16, 0xfe00_0083)
    }

    /// Writes one byte to each of `pages` pages from the identity-mapped address on.
    pub(crate) fn touch(self, address: u64, pages: u32) -> Code {
        self.bytes(&[0x48, 0xbb])
            .bytes(&address.to_le_bytes())
            .bytes(&[0xb9])
            .bytes(&pages.to_le_bytes())
            // mov byte [rbx], 1; add rbx, 4096; dec ecx; jnz -14
            .bytes(&[0xc6, 0x03, 0x01, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0, 0xff, 0xc9, 0x75, 0xf2])
    }

    /// Writes a bulk record into slot `number` of the mapped window, publishes `number + 1` and rings the bulk port.
    pub(crate) fn bulk(self, number: u64, kind: BulkKind, gpa: u64, length: u32) -> Code {
        self.bulk_record(number, kind, gpa, length).out(port::BULK, 0)
    }

    /// Writes a bulk record into slot `number` of the mapped window and publishes `number + 1`.
    pub(crate) fn bulk_record(self, number: u64, kind: BulkKind, gpa: u64, length: u32) -> Code {
        let slot = WINDOW + RECORDS_OFFSET as u64 + number * RECORD_SIZE as u64;
        self.store(slot, u64::from(RecordKind::Bulk.0))
            .store(slot + 16, number)
            .store(slot + 24, gpa)
            .store(slot + 32, u64::from(length) | u64::from(kind.0) << 32 | 1 << 40)
            .publish(number + 1)
    }

    /// Publishes a head.
    pub(crate) fn publish(self, head: u64) -> Code {
        self.store(WINDOW + HEAD_OFFSET as u64, head)
    }

    /// `rep movsq` of the `length` bytes at `data` (behind the code, from the image's start) to an address.
    pub(crate) fn copy_from_image(self, data: u64, address: u64, length: u64) -> Code {
        self.bytes(&[0x48, 0xbe])
            .bytes(&(KERNEL_PHYS + data).to_le_bytes())
            .bytes(&[0x48, 0xbf])
            .bytes(&address.to_le_bytes())
            .bytes(&[0x48, 0xb9])
            .bytes(&(length / 8).to_le_bytes())
            .bytes(&[0xf3, 0x48, 0xa5])
    }

    /// `mov ecx, times`, `body`, `dec ecx; jnz body`. The body must keep ECX.
    pub(crate) fn repeat(self, times: u32, body: &Code) -> Code {
        let back = -(body.0.len() as i32 + 2 + 6);
        self.bytes(&[0xb9])
            .bytes(&times.to_le_bytes())
            .bytes(&body.0)
            .bytes(&[0xff, 0xc9, 0x0f, 0x85])
            .bytes(&back.to_le_bytes())
    }

    /// `jmp .`
    pub(crate) fn forever(self) -> Code {
        self.bytes(&[0xeb, 0xfe])
    }
}

/// Where [`Code::map_window`] puts the trace window.
pub(crate) const WINDOW: u64 = 0x4000_0000;
/// Where [`Code::map_window`] puts a place without memory.
pub(crate) const NOTHING: u64 = WINDOW + (4 << 20);

/// A configuration for a flat guest in 16 MiB.
pub(crate) fn config(code: &[u8]) -> VmConfig<'_> {
    VmConfig {
        memory: pagelab_abi::layout::MIN_MEMORY,
        backing: Backing::Anonymous,
        small_pages: true,
        trace_window: TraceWindow::DEFAULT_SIZE,
        image: Image::Flat(code),
        program: Program::default(),
        seed: 1,
        policy: MemoryPolicy::default(),
        trace: true,
        trap_faults: false,
    }
}

/// Starts the guest.
pub(crate) fn start(code: &Code) -> (RunningVcpu, Receiver<Input>) {
    let vm = Vm::create(&config(&code.0)).expect("the machine can be made");
    let (sink, inputs) = unbounded();
    let ring = RingReader::new(vm.window.clone()).expect("the window holds a header");
    let task = VcpuTask { vcpu: vm.vcpu, ram: vm.ram, ring, sink, console: None };
    (spawn(task, Arc::new(VcpuStatus::default())).expect("a thread can be had").start(Vec::new()), inputs)
}

/// Runs the guest to its end, or fails the test after 20 seconds.
pub(crate) fn run(code: &Code) -> (Finished, Vec<Input>) {
    let begin = Instant::now();
    let (vcpu, inputs) = start(code);
    let Ok(finished) = vcpu.finished.recv_timeout(Duration::from_secs(20)) else {
        vcpu.stop();
        panic!("the guest had not ended after {:?}", begin.elapsed());
    };
    (finished, inputs.try_iter().collect())
}

/// The texts of the broken rules.
pub(crate) fn protocol_errors(inputs: &[Input]) -> Vec<&str> {
    inputs
        .iter()
        .filter_map(|input| match input {
            Input::ProtocolError(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}
