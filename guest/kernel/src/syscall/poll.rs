//! Waiting until a descriptor is ready: files always are, and a pipe only by what the program itself does.

use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Args, Result};
use crate::{
    fs::{
        Kind, Open,
        open::{MAX_OPEN, O_PATH},
        pipe::{self, READERS, WRITERS},
        wait,
    },
    state::Kernel,
    user_copy,
};

const POLLIN: u16 = 1;
const POLLOUT: u16 = 4;
const POLLERR: u16 = 8;
const POLLHUP: u16 = 0x10;
const POLLNVAL: u16 = 0x20;
const POLLRDNORM: u16 = 0x40;
const POLLWRNORM: u16 = 0x100;
const READ: u16 = POLLIN | POLLRDNORM;
const WRITE: u16 = POLLOUT | POLLWRNORM;
const NANOSECONDS: u64 = 1_000_000_000;

/// Linux's `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct PollFd {
    fd: u32,
    events: u16,
    ready: u16,
}

/// What an open description is ready for.
fn state(kernel: &Kernel, open: &Open) -> u16 {
    let inode = open.inode;
    match kernel.inode(inode).kind() {
        Kind::Pipe => {
            let mut state = 0;
            if open.is_readable() {
                state |= if pipe::available(kernel, inode) > 0 { READ } else { 0 };
                state |= if pipe::ends(kernel, inode, WRITERS) == 0 { POLLHUP } else { 0 };
            }
            if open.is_writable() {
                state |= if pipe::has_room(kernel, inode) { WRITE } else { 0 };
                state |= if pipe::ends(kernel, inode, READERS) == 0 { POLLERR } else { 0 };
            }
            state
        }
        Kind::Console => WRITE,
        _ => READ | WRITE,
    }
}

/// A time to wait for, in nanoseconds; `None` for ever.
type Timeout = Option<u64>;

fn timespec(kernel: &mut Kernel, address: u64, unit: u64) -> core::result::Result<Timeout, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let [seconds, fraction] = user_copy::get::<[u64; 2]>(kernel, address)?;
    if seconds as i64 <= -1 || fraction >= NANOSECONDS / unit && unit == 1 || fraction as i64 <= -1 {
        return Err(Errno::EINVAL);
    }
    Ok(Some(seconds.saturating_mul(NANOSECONDS).saturating_add(fraction.saturating_mul(unit))))
}

pub(super) fn poll(kernel: &mut Kernel, &[list, count, timeout, ..]: &Args) -> Result {
    let timeout = (timeout as i32 >= 0).then_some(u64::from(timeout as u32) * 1_000_000);
    poll_until(kernel, list, count, timeout)
}

pub(super) fn ppoll(kernel: &mut Kernel, &[list, count, timeout, mask, size, _]: &Args) -> Result {
    let timeout = timespec(kernel, timeout, 1)?;
    check_mask(kernel, mask, size)?;
    poll_until(kernel, list, count, timeout)
}

/// The signal mask of ppoll and pselect6: read as Linux does.
fn check_mask(kernel: &mut Kernel, mask: u64, size: u64) -> core::result::Result<(), Errno> {
    if mask == 0 {
        return Ok(());
    }
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    user_copy::get::<u64>(kernel, mask).map(drop)
}

fn poll_until(kernel: &mut Kernel, list: u64, count: u64, timeout: Timeout) -> Result {
    let count = u64::from(count as u32);
    if count > kernel.process.limits.files() {
        return Err(Errno::EINVAL);
    }
    let mut ready = 0;
    for index in 0..count {
        let address = list + index * size_of::<PollFd>() as u64;
        let mut entry: PollFd = user_copy::get(kernel, address)?;
        entry.ready = match kernel.open_slot(u64::from(entry.fd)) {
            _ if entry.fd as i32 <= -1 => 0,
            Err(_) => POLLNVAL,
            Ok(slot) if kernel.open(slot).flags & O_PATH != 0 => POLLNVAL,
            Ok(slot) => {
                let open = *kernel.open(slot);
                state(kernel, &open) & (entry.events | POLLERR | POLLHUP)
            }
        };
        user_copy::put(kernel, address, &entry)?;
        ready += u64::from(entry.ready != 0);
    }
    if ready == 0 {
        pass(kernel, timeout)?;
    }
    Ok(ready)
}

/// Lets the time pass in which nothing can become ready.
fn pass(kernel: &mut Kernel, timeout: Timeout) -> core::result::Result<(), Errno> {
    if timeout == Some(0) {
        return Ok(());
    }
    wait::sleep(kernel, timeout, format_args!("a descriptor that only its own calls could make ready"))
}

pub(super) fn select(kernel: &mut Kernel, &[count, read, write, except, timeout, _]: &Args) -> Result {
    let timeout = timespec(kernel, timeout, 1000)?;
    select_until(kernel, count, [read, write, except], timeout)
}

pub(super) fn pselect6(kernel: &mut Kernel, &[count, read, write, except, timeout, mask]: &Args) -> Result {
    let timeout = timespec(kernel, timeout, 1)?;
    if mask != 0 {
        let [mask, size] = user_copy::get::<[u64; 2]>(kernel, mask)?;
        check_mask(kernel, mask, size)?;
    }
    select_until(kernel, count, [read, write, except], timeout)
}

fn select_until(kernel: &mut Kernel, count: u64, sets: [u64; 3], timeout: Timeout) -> Result {
    /// What makes a descriptor ready in each set.
    const WANTED: [u16; 3] = [READ | POLLHUP | POLLERR, WRITE | POLLERR, 0];
    let count = count as i32;
    if count <= -1 {
        return Err(Errno::EINVAL);
    }
    // Descriptors that the table has no room for are not looked at, as in Linux.
    let words = (count as u64).min(MAX_OPEN as u64).div_ceil(64);
    let mut total = 0;
    for pass in 0..2 {
        for word in 0..words {
            for (set, wanted) in sets.into_iter().zip(WANTED) {
                if set == 0 {
                    continue;
                }
                let address = set + word * 8;
                let mut asked: u64 = user_copy::get(kernel, address)?;
                let valid = (count as u64 - word * 64).min(64);
                if valid < 64 {
                    asked &= (1 << valid) - 1;
                }
                let mut answer = 0;
                let mut rest = asked;
                while rest != 0 {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    let (_, open) = kernel.opened(word * 64 + u64::from(bit))?;
                    if state(kernel, &open) & wanted != 0 {
                        answer |= 1u64 << bit;
                    }
                }
                // The first pass finds bad descriptors before anything is changed.
                if pass == 1 {
                    user_copy::put(kernel, address, &answer)?;
                    total += u64::from(answer.count_ones());
                }
            }
        }
    }
    if total == 0 {
        self::pass(kernel, timeout)?;
    }
    Ok(total)
}
