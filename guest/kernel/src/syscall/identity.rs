//! System calls about who the process is: users, groups, process group, session. It starts as root, the leader of a
//! process group of its own in the session of process 1, its parent.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::{process::FIRST_PID, state::Kernel, user_copy};

/// The parent, which nobody ever sees.
const PARENT: u32 = 1;
/// Leave this id as it is.
const KEEP: u32 = u32::MAX;

/// Real, effective, saved and file-system id, of the user or the group.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ids {
    pub(crate) real: u32,
    pub(crate) effective: u32,
    pub(crate) saved: u32,
    pub(crate) file_system: u32,
}

/// Who the process is.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) user: Ids,
    pub(crate) user_group: Ids,
    /// Its process group.
    pub(crate) group: u32,
}

impl Identity {
    /// Parent process and session.
    pub(crate) const PARENT: u32 = PARENT;
    /// Who a program starts as.
    pub(crate) const ROOT: Identity = Identity {
        user: Ids { real: 0, effective: 0, saved: 0, file_system: 0 },
        user_group: Ids { real: 0, effective: 0, saved: 0, file_system: 0 },
        group: FIRST_PID,
    };
}

/// Which ids a call is about.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    User,
    Group,
}

fn ids(kernel: &mut Kernel, kind: Kind) -> &mut Ids {
    match kind {
        Kind::User => &mut kernel.process.identity.user,
        Kind::Group => &mut kernel.process.identity.user_group,
    }
}

fn is_root(kernel: &Kernel) -> bool {
    kernel.process.identity.user.effective == 0
}

pub(super) fn real(kernel: &mut Kernel, kind: Kind) -> Result {
    Ok(u64::from(ids(kernel, kind).real))
}

pub(super) fn effective(kernel: &mut Kernel, kind: Kind) -> Result {
    Ok(u64::from(ids(kernel, kind).effective))
}

pub(super) fn get_three(kernel: &mut Kernel, kind: Kind, &[real, effective, saved, ..]: &Args) -> Result {
    let ids = *ids(kernel, kind);
    user_copy::put(kernel, real, &ids.real)?;
    user_copy::put(kernel, effective, &ids.effective)?;
    user_copy::put(kernel, saved, &ids.saved).map(|()| 0)
}

/// `setuid`, `setgid`.
pub(super) fn set(kernel: &mut Kernel, kind: Kind, &[id, ..]: &Args) -> Result {
    let (id, root) = (id as u32, is_root(kernel));
    let ids = ids(kernel, kind);
    match id {
        KEEP => return Err(Errno::EINVAL),
        _ if root => *ids = Ids { real: id, effective: id, saved: id, file_system: id },
        _ if id == ids.real || id == ids.saved => (ids.effective, ids.file_system) = (id, id),
        _ => return Err(Errno::EPERM),
    }
    Ok(0)
}

/// `setreuid`, `setregid`.
pub(super) fn set_two(kernel: &mut Kernel, kind: Kind, &[real, effective, ..]: &Args) -> Result {
    let (real, effective, root) = (real as u32, effective as u32, is_root(kernel));
    let ids = ids(kernel, kind);
    let may = |id, of: &[u32]| id == KEEP || root || of.contains(&id);
    if !may(real, &[ids.real, ids.effective]) || !may(effective, &[ids.real, ids.effective, ids.saved]) {
        return Err(Errno::EPERM);
    }
    let before = ids.real;
    replace(&mut ids.real, real);
    replace(&mut ids.effective, effective);
    if real != KEEP || effective != KEEP && effective != before {
        ids.saved = ids.effective;
    }
    ids.file_system = ids.effective;
    Ok(0)
}

/// `setresuid`, `setresgid`.
pub(super) fn set_three(kernel: &mut Kernel, kind: Kind, &[real, effective, saved, ..]: &Args) -> Result {
    let wanted = [real, effective, saved].map(|id| id as u32);
    let root = is_root(kernel);
    let ids = ids(kernel, kind);
    let current = [ids.real, ids.effective, ids.saved];
    if !root && wanted.iter().any(|&id| id != KEEP && !current.contains(&id)) {
        return Err(Errno::EPERM);
    }
    let [real, effective, saved] = wanted;
    replace(&mut ids.real, real);
    replace(&mut ids.effective, effective);
    replace(&mut ids.saved, saved);
    ids.file_system = ids.effective;
    Ok(0)
}

/// `setfsuid`, `setfsgid`: answer with the id before, and never fail.
pub(super) fn set_file_system(kernel: &mut Kernel, kind: Kind, &[id, ..]: &Args) -> Result {
    let (id, root) = (id as u32, is_root(kernel));
    let ids = ids(kernel, kind);
    let before = ids.file_system;
    if id != KEEP && (root || [ids.real, ids.effective, ids.saved, before].contains(&id)) {
        ids.file_system = id;
    }
    Ok(u64::from(before))
}

fn replace(id: &mut u32, by: u32) {
    if by != KEEP {
        *id = by;
    }
}

/// There are no supplementary groups.
pub(super) fn getgroups(&[size, ..]: &Args) -> Result {
    if (size as i32) < 0 { Err(Errno::EINVAL) } else { Ok(0) }
}

/// `getpgid` and `getsid`: what this process answers, if it is meant.
fn of_itself(kernel: &Kernel, pid: u64, answer: u32) -> Result {
    if pid as u32 == 0 || pid as u32 == kernel.process.pid { Ok(u64::from(answer)) } else { Err(Errno::ESRCH) }
}

pub(super) fn getpgid(kernel: &mut Kernel, &[pid, ..]: &Args) -> Result {
    of_itself(kernel, pid, kernel.process.identity.group)
}

pub(super) fn getsid(kernel: &mut Kernel, &[pid, ..]: &Args) -> Result {
    of_itself(kernel, pid, PARENT)
}

/// Leading a group already, the process can only join its own; the session has no other.
pub(super) fn setpgid(kernel: &mut Kernel, &[pid, group, ..]: &Args) -> Result {
    let own = kernel.process.pid;
    let (pid, group) = (pid as i32, group as i32);
    let group = if group == 0 { pid } else { group };
    if group < 0 {
        return Err(Errno::EINVAL);
    }
    if pid != 0 && pid as u32 != own {
        return Err(Errno::ESRCH);
    }
    if group == 0 || group as u32 == own { Ok(0) } else { Err(Errno::EPERM) }
}
