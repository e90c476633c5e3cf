//! Host faults without a thread hop: pages that hold nothing are kept from KVM, its run of the vCPU fails at the first
//! touch, and the vCPU's own thread opens the page.
//!
//! How the first touch comes out depends on the host:
//! - Under EPT and NPT KVM_RUN answers EFAULT, and no x86 KVM says where for memory that the host alone keeps
//!   (`KVM_EXIT_MEMORY_FAULT` is for guest_memfd). The tracepoint `kvm_page_fault` does say: it is read on the spot.
//! - Where KVM emulates ring 0, its emulator takes memory that it cannot reach for a device. The MMIO exit has the address;
//!   the access is done here, on the opened page, and KVM goes on. `rep` instructions and accesses to two pages make such
//!   an exit for each part; a locked instruction reads first, so its write finds the page open.
//! - KVM itself reads the guest's page tables. From a kept page it takes an entry for not present, which is what the page
//!   holds: zeros. The guest opens a table when it writes its first entry.
//!
//! Pages the VMM wrote before the start are preloaded, as with userfaultfd; the rest of RAM is kept.

mod place;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use kvm_bindings::KVM_CAP_SYNC_MMU;
use kvm_ioctls::VcpuFd;
use pagelab_abi::layout::PAGE_SIZE;

use self::place::{Place, PlaceFinder};
use super::{
    ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch,
    pagemap::{present_map, present_pages},
};
use crate::{
    trace::{Access, HostFault, HostFaultKind, Input},
    vm::{
        Ram,
        clock::rdtsc,
        exit::{Exit, mmio_bytes},
        machine::open_kvm,
        shield::Shield,
        vcpu_hook::{Handled, VcpuHook},
    },
};

const NAME: &str = "memory-fault";

/// The source.
#[derive(Debug)]
pub(super) struct MemoryFault;

impl FaultSource for MemoryFault {
    fn name(&self) -> &'static str {
        NAME
    }

    fn resolves(&self) -> bool {
        true
    }

    fn by_default(&self) -> bool {
        false
    }

    fn probe(&self) -> Probe {
        let kvm = match open_kvm() {
            Ok(kvm) => kvm,
            Err(error) => {
                return Probe::Missing(Missing {
                    why: error.to_string(),
                    remedy: "pagelab doctor says how to get KVM",
                });
            }
        };
        if kvm.check_extension_raw(u64::from(KVM_CAP_SYNC_MMU)) <= 0 {
            return Probe::Missing(Missing {
                why: "KVM does not follow changes of host memory".to_owned(),
                remedy: "boot Linux 5.14 or later",
            });
        }
        match place::probe() {
            Ok(()) => Probe::Available,
            Err(missing) => Probe::Missing(missing),
        }
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        let present = present_map(&watch.ram).map_err(failed("find the pages that are present"))?;
        let preloaded = present.iter().flatten().map(|word| u64::from(word.count_ones())).sum();
        let finders = watch
            .vcpus
            .iter()
            .map(|vcpu| PlaceFinder::open(vcpu.thread_id()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|missing| FaultError::Missing { name: NAME, missing })?;
        let absent = present.into_iter().map(|words| words.into_iter().map(|word| !word).collect()).collect();
        let shield = Shield::raise(&watch.ram.extents(), absent).map_err(failed("keep pages of guest memory"))?;
        let shield = Arc::new(shield);
        watch.ram.shield(Arc::clone(&shield));
        let opened = Arc::new(AtomicU64::new(0));
        let hooks = finders.into_iter().zip(0..).map(|(finder, vcpu)| Hook {
            vcpu,
            watch: watch.clone(),
            shield: Arc::clone(&shield),
            finder,
            opened: Arc::clone(&opened),
        });
        // One hook is all a run takes: it has one vCPU.
        let hook = hooks.last();
        Ok(Box::new(Active { hook, shield, ram: watch.ram, preloaded, opened }))
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> FaultError {
    move |error| FaultError::Failed { name: NAME, what, error }
}

/// The source at work.
struct Active {
    hook: Option<Hook>,
    shield: Arc<Shield>,
    ram: Ram,
    preloaded: u64,
    opened: Arc<AtomicU64>,
}

impl ActiveSource for Active {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hook(&mut self) -> Option<Box<dyn VcpuHook>> {
        self.hook.take().map(|hook| Box::new(hook) as Box<dyn VcpuHook>)
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        // First this: the page map takes guard markers for swapped pages.
        self.shield.lower().map_err(failed("give guest memory back"))?;
        let present = present_pages(&self.ram).map_err(failed("count the pages that are present"))?;
        let facts = [
            ("method", self.shield.method().name().to_owned()),
            ("preloaded_pages", self.preloaded.to_string()),
            ("opened_pages", self.opened.load(Ordering::Acquire).to_string()),
            ("present_at_end", present.to_string()),
        ];
        let facts = facts.map(|(name, value)| (format!("{NAME}.{name}"), value)).into();
        Ok(Tally { copies: None, facts })
    }
}

/// The part on the vCPU's thread.
struct Hook {
    vcpu: u16,
    watch: Watch,
    shield: Arc<Shield>,
    finder: PlaceFinder,
    opened: Arc<AtomicU64>,
}

impl VcpuHook for Hook {
    fn exit(&mut self, exit: &Exit, vcpu: &mut VcpuFd) -> Handled {
        let begin = rdtsc();
        match *exit {
            Exit::MemoryFault { gpa } => {
                let found = self.finder.last();
                let place = match gpa {
                    Some(gpa) => found.filter(|found| found.gpa == gpa).unwrap_or(Place::at(gpa)),
                    None => match found {
                        Some(found) => found,
                        None => return Handled::No,
                    },
                };
                match self.open(place, begin, |place| place.rip.or_else(|| vcpu.get_regs().ok().map(|regs| regs.rip))) {
                    // It was open: KVM failed for another reason, and running on would fail for ever.
                    Ok(0) => Handled::No,
                    Ok(_) => Handled::Yes,
                    Err(error) => self.fail(error),
                }
            }
            Exit::Mmio { gpa, write } if self.watch.ram.contains(gpa, 1) => {
                let access = if write { Access::Write } else { Access::Read };
                // KVM has moved RIP on already if the instruction writes.
                let rip = if write { None } else { vcpu.get_regs().ok().map(|regs| regs.rip) };
                match self.open(Place { access, rip, ..Place::at(gpa) }, begin, |place| place.rip) {
                    Ok(_) => self.complete(gpa, write, vcpu),
                    Err(error) => self.fail(error),
                }
            }
            Exit::Interrupted => {
                // Its buffer must not fill up with faults that are none of this source's.
                self.finder.last();
                Handled::No
            }
            _ => Handled::No,
        }
    }
}

impl Hook {
    /// Opens a page and tells the fault; how many pages were opened.
    fn open(&self, place: Place, tsc_begin: u64, rip: impl FnOnce(&Place) -> Option<u64>) -> io::Result<u64> {
        let pages = self.shield.open(place.gpa)?;
        if pages == 0 {
            return Ok(0);
        }
        let tsc_end = rdtsc();
        self.opened.fetch_add(pages, Ordering::Release);
        let fault = HostFault {
            vcpu: Some(self.vcpu),
            tsc_begin,
            tsc_end,
            gpa: place.gpa,
            access: place.access,
            source: NAME,
            kind: HostFaultKind::Protected,
            bytes: pages * PAGE_SIZE,
            rip: rip(&place),
            gva: None,
            error_code: place.error_code,
            stage: place.stage,
        };
        // Nobody takes it only when the recording has failed, which the vCPU's loop says.
        let _ = self.watch.sink.send(Input::HostFault(fault));
        Ok(pages)
    }

    /// Does an access to RAM that KVM's emulator handed out.
    fn complete(&self, gpa: u64, write: bool, vcpu: &mut VcpuFd) -> Handled {
        let Some(bytes) = mmio_bytes(vcpu) else { return Handled::No };
        let done = if write {
            self.watch.ram.write(gpa, bytes).is_ok()
        } else {
            self.watch.ram.read(gpa, bytes.len()).map(|read| bytes.copy_from_slice(&read)).is_some()
        };
        if done { Handled::Yes } else { Handled::No }
    }

    /// The source cannot go on; the run ends with its reason.
    fn fail(&self, error: io::Error) -> Handled {
        // Full only if an earlier failure waits there already.
        let _ = self.watch.failure.try_send(failed("open a page of guest memory")(error));
        Handled::End(crate::vm::vcpu::End::Stopped)
    }
}
