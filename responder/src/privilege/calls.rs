//! The system calls that a process makes, and no others (seccomp(2)): what else is tried gets EPERM.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Whose calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// The daemon's, and those of the programs that it runs.
    Daemon,
    /// The helper's.
    Helper,
}

/// Files, memory, threads, processes, sockets, timers: what ordinary programs do. Absent, among others:
/// mounts and namespaces, other users, other processes' memory, the kernel's modules, keys, clocks and
/// profiles, io_uring.
#[rustfmt::skip] // one a line would be a page of its own
const ORDINARY: &[c_long] = &[
    // Files.
    libc::SYS_access, libc::SYS_chdir, libc::SYS_chmod, libc::SYS_close, libc::SYS_close_range,
    libc::SYS_copy_file_range, libc::SYS_creat, libc::SYS_dup, libc::SYS_dup2, libc::SYS_dup3,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fadvise64, libc::SYS_fallocate,
    libc::SYS_fchdir, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fcntl, libc::SYS_fdatasync,
    libc::SYS_fgetxattr, libc::SYS_flock, libc::SYS_fstat, libc::SYS_fstatfs, libc::SYS_fsync,
    libc::SYS_ftruncate, libc::SYS_getcwd, libc::SYS_getdents, libc::SYS_getdents64,
    libc::SYS_getxattr, libc::SYS_inotify_add_watch, libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch, libc::SYS_ioctl, libc::SYS_lgetxattr, libc::SYS_link,
    libc::SYS_linkat, libc::SYS_lseek, libc::SYS_lstat, libc::SYS_mkdir, libc::SYS_mkdirat,
    libc::SYS_newfstatat, libc::SYS_open, libc::SYS_openat, libc::SYS_openat2, libc::SYS_pipe,
    libc::SYS_pipe2, libc::SYS_pread64, libc::SYS_preadv, libc::SYS_preadv2, libc::SYS_pwrite64,
    libc::SYS_pwritev, libc::SYS_pwritev2, libc::SYS_read, libc::SYS_readahead,
    libc::SYS_readlink, libc::SYS_readlinkat, libc::SYS_readv, libc::SYS_rename,
    libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_rmdir, libc::SYS_sendfile, libc::SYS_splice,
    libc::SYS_stat, libc::SYS_statfs, libc::SYS_statx, libc::SYS_symlink, libc::SYS_symlinkat,
    libc::SYS_sync_file_range, libc::SYS_tee, libc::SYS_truncate, libc::SYS_umask,
    libc::SYS_unlink, libc::SYS_unlinkat, libc::SYS_utimensat, libc::SYS_write, libc::SYS_writev,
    // Memory.
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_membarrier, libc::SYS_memfd_create,
    libc::SYS_mincore, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_mmap, libc::SYS_mprotect,
    libc::SYS_mremap, libc::SYS_msync, libc::SYS_munlock, libc::SYS_munmap,
    // Threads and processes. `clone3` is refused as unknown, elsewhere here.
    libc::SYS_arch_prctl, libc::SYS_capget, libc::SYS_clone3, libc::SYS_execve, libc::SYS_execveat,
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_fork, libc::SYS_futex, libc::SYS_futex_waitv,
    libc::SYS_get_robust_list, libc::SYS_getegid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getgroups, libc::SYS_getpgid, libc::SYS_getpgrp, libc::SYS_getpid, libc::SYS_getppid,
    libc::SYS_getpriority, libc::SYS_getresgid, libc::SYS_getresuid, libc::SYS_getrlimit,
    libc::SYS_getrusage, libc::SYS_getsid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_kill,
    libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_prctl, libc::SYS_prlimit64,
    libc::SYS_rseq, libc::SYS_sched_get_priority_max, libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity, libc::SYS_sched_yield, libc::SYS_set_robust_list,
    libc::SYS_set_tid_address, libc::SYS_setpgid, libc::SYS_setrlimit, libc::SYS_setsid,
    libc::SYS_tgkill, libc::SYS_tkill, libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_times,
    libc::SYS_vfork, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_getcpu, libc::SYS_getrandom,
    // Signals, timers, waiting.
    libc::SYS_alarm, libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_eventfd2,
    libc::SYS_getitimer, libc::SYS_gettimeofday, libc::SYS_nanosleep, libc::SYS_pause,
    libc::SYS_poll, libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigpending, libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo, libc::SYS_rt_sigreturn, libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait, libc::SYS_select, libc::SYS_setitimer, libc::SYS_sigaltstack,
    libc::SYS_signalfd, libc::SYS_signalfd4, libc::SYS_time, libc::SYS_timer_create,
    libc::SYS_timer_delete, libc::SYS_timer_gettime, libc::SYS_timer_settime,
    libc::SYS_timerfd_create, libc::SYS_timerfd_gettime, libc::SYS_timerfd_settime,
    // Sockets; `socket` itself is bounded below.
    libc::SYS_accept, libc::SYS_accept4, libc::SYS_bind, libc::SYS_connect, libc::SYS_getpeername,
    libc::SYS_getsockname, libc::SYS_getsockopt, libc::SYS_listen, libc::SYS_recvfrom,
    libc::SYS_recvmmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_sendmsg,
    libc::SYS_sendto, libc::SYS_setsockopt, libc::SYS_shutdown, libc::SYS_socketpair,
];

/// Families of sockets: the service, commands and service manager, the state of interfaces.
const FAMILIES: [i32; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK];

/// `bpf` on maps whose descriptors a process was handed (the commands' numbers in linux/bpf.h): to look up,
/// update, delete, find the next key; to ask what a descriptor is; to look up and update many at a time.
const MAP_COMMANDS: [u32; 7] = [1, 2, 3, 4, 15, 24, 26];

/// Flags of `clone` that make namespaces.
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Confines this thread, and what it starts, to its calls.
pub(super) fn confine(calls: Calls) -> Result<()> {
    let told = "the kernel refuses the filter of system calls";
    let refuse = |error: i32| SeccompAction::Errno(error as u32);
    // Its flags stand in memory, where no filter looks: whoever finds it missing takes `clone`.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = (clone3, SeccompAction::Allow, refuse(libc::ENOSYS));
    let known = (rules(calls).context(told)?, refuse(libc::EPERM), SeccompAction::Allow);
    for (rules, others, those) in [unknown, known] {
        let filter = SeccompFilter::new(rules, others, those, TargetArch::x86_64);
        let program: BpfProgram =
            filter.and_then(TryInto::try_into).context("the filter of system calls")?;
        apply_filter(&program).context(told)?;
    }
    Ok(())
}

fn rules(calls: Calls) -> seccompiler::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<_, _> = ORDINARY.iter().map(|call| (*call, Vec::new())).collect();
    let equal = |value: u32| one(SeccompCmpOp::Eq, value.into());
    let families = FAMILIES.iter().map(|family| equal(*family as u32));
    rules.insert(libc::SYS_socket, families.collect::<seccompiler::Result<_>>()?);
    let no_namespace = one(SeccompCmpOp::MaskedEq(NAMESPACES as u64), 0)?;
    rules.insert(libc::SYS_clone, vec![no_namespace]);
    match calls {
        Calls::Daemon => {
            let commands = MAP_COMMANDS.iter().map(|command| equal(*command));
            rules.insert(libc::SYS_bpf, commands.collect::<seccompiler::Result<_>>()?);
            // Its own threads' alone: PRIO_PROCESS, and nobody else's number.
            let own = [argument(0, SeccompCmpOp::Eq, 0)?, argument(1, SeccompCmpOp::Eq, 0)?];
            rules.insert(libc::SYS_setpriority, vec![SeccompRule::new(own.into())?]);
        }
        Calls::Helper => {
            rules.insert(libc::SYS_bpf, Vec::new());
            rules.insert(libc::SYS_setpriority, Vec::new());
        }
    }
    Ok(rules)
}

/// A call whose first argument is such.
fn one(comparison: SeccompCmpOp, value: u64) -> seccompiler::Result<SeccompRule> {
    Ok(SeccompRule::new(vec![argument(0, comparison, value)?])?)
}

fn argument(number: u8, is: SeccompCmpOp, value: u64) -> seccompiler::Result<SeccompCondition> {
    Ok(SeccompCondition::new(number, SeccompCmpArgLen::Dword, is, value)?)
}
