/* Small system calls with right and wrong arguments: identity, scheduling, limits, prctl, futex, time. What depends on the
   machine is not printed. With the argument `root`: what only root may do, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALL(...) said(#__VA_ARGS__, syscall(__VA_ARGS__))
/* What it answers is the machine's. */
#define WORKS(...) said(#__VA_ARGS__, syscall(__VA_ARGS__) < 0 ? -1 : 0)

static void said(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

static void identity(int root) {
    unsigned a = 1, b = 2, c = 3;
    CALL(SYS_getresuid, &a, &b, &c);
    CALL(SYS_getresgid, &a, &b, &c);
    if (root) {
        CALL(SYS_setresuid, 0, 1000, 0);
        printf("%d %d\n", getuid(), geteuid());
        CALL(SYS_setuid, 77);
        CALL(SYS_setreuid, -1, 77);
        CALL(SYS_setuid, -1);
        CALL(SYS_setuid, 0);
        CALL(SYS_setresuid, -1, 0, -1);
        CALL(SYS_setreuid, 0, 0);
        CALL(SYS_setfsuid, 5);
        CALL(SYS_setfsuid, 0);
        CALL(SYS_getresuid, &a, &b, &c);
        printf("%u %u %u\n", a, b, c);
        CALL(SYS_setgid, 0);
        CALL(SYS_setregid, 0, -1);
        CALL(SYS_setresgid, 0, 0, 0);
        CALL(SYS_setfsgid, 0);
        CALL(SYS_getegid);
    }
    CALL(SYS_getgroups, -1, NULL);
    printf("%d\n", getpgid(0) == getpgrp() && getpgid(getpid()) == getpgrp());
    CALL(SYS_getpgid, 0x3fffffff);
    CALL(SYS_getsid, 0x3fffffff);
    CALL(SYS_setpgid, 0x3fffffff, 0);
    CALL(SYS_setpgid, 0, -1);
    WORKS(SYS_getppid);
}

static void scheduling(void) {
    uint64_t mask[16] = {0};
    struct sched_param param = {.sched_priority = 5};
    CALL(SYS_sched_yield);
    CALL(SYS_sched_getscheduler, 0);
    CALL(SYS_sched_getscheduler, -1);
    CALL(SYS_sched_getscheduler, 0x3fffffff);
    CALL(SYS_sched_getparam, 0, &param);
    printf("%d\n", param.sched_priority);
    CALL(SYS_sched_getparam, 0, NULL);
    param.sched_priority = 5;
    CALL(SYS_sched_setparam, 0, &param);
    CALL(SYS_sched_setscheduler, 0, SCHED_OTHER, &param);
    CALL(SYS_sched_setscheduler, 0, 99, &param);
    CALL(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL);
    param.sched_priority = 0;
    CALL(SYS_sched_setscheduler, 0, SCHED_BATCH, &param);
    CALL(SYS_sched_getscheduler, 0);
    CALL(SYS_sched_setscheduler, 0, SCHED_OTHER, &param);
    CALL(SYS_sched_get_priority_max, SCHED_FIFO);
    CALL(SYS_sched_get_priority_min, SCHED_RR);
    CALL(SYS_sched_get_priority_max, SCHED_OTHER);
    CALL(SYS_sched_get_priority_max, 77);
    WORKS(SYS_sched_getaffinity, 0, sizeof mask, mask);
    printf("%d\n", (mask[0] & 1) != 0);
    CALL(SYS_sched_getaffinity, 0, 0, mask);
    CALL(SYS_sched_getaffinity, 0, 9, mask);
    CALL(SYS_sched_getaffinity, 0x3fffffff, 128, mask);
    mask[0] = 1;
    CALL(SYS_sched_setaffinity, 0, 8, mask);
    mask[0] = 0;
    CALL(SYS_sched_setaffinity, 0, 8, mask);
    mask[0] = 1;
    CALL(SYS_sched_setaffinity, 0x3fffffff, 8, mask);
    unsigned cpu = 7, node = 7;
    CALL(SYS_getcpu, &cpu, &node, NULL);
    printf("%u %u\n", cpu, node);
    CALL(SYS_getcpu, NULL, NULL, NULL);
    CALL(SYS_setpriority, PRIO_PROCESS, 0, 15);
    CALL(SYS_getpriority, PRIO_PROCESS, getpid());
    CALL(SYS_setpriority, PRIO_PROCESS, 0, 50);
    CALL(SYS_getpriority, PRIO_PROCESS, 0);
    CALL(SYS_getpriority, PRIO_PROCESS, 0x3fffffff);
    CALL(SYS_getpriority, 3, 0);
}

static void limits(void) {
    struct rlimit limit;
    CALL(SYS_getrlimit, RLIMIT_STACK, &limit);
    limit.rlim_cur = 4 << 20;
    CALL(SYS_setrlimit, RLIMIT_STACK, &limit);
    CALL(SYS_getrlimit, RLIMIT_STACK, &limit);
    printf("%lu\n", limit.rlim_cur);
    limit = (struct rlimit){100, 50};
    CALL(SYS_setrlimit, RLIMIT_CORE, &limit);
    CALL(SYS_getrlimit, 16, &limit);
    CALL(SYS_setrlimit, 16, &limit);
    limit = (struct rlimit){0, 1000};
    CALL(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL);
    CALL(SYS_prlimit64, getpid(), RLIMIT_CORE, NULL, &limit);
    printf("%lu %lu\n", limit.rlim_cur, limit.rlim_max);
    limit = (struct rlimit){64 << 20, 64 << 20};
    CALL(SYS_prlimit64, 0, RLIMIT_DATA, &limit, NULL);
    CALL(SYS_prlimit64, 0x3fffffff, RLIMIT_DATA, NULL, &limit);
    CALL(SYS_prlimit64, 0, 99, NULL, &limit);
}

static void controls(void) {
    char name[16];
    memset(name, 'x', sizeof name);
    CALL(SYS_prctl, PR_SET_NAME, "a name longer than fits");
    CALL(SYS_prctl, PR_GET_NAME, name);
    printf("%.16s\n", name);
    CALL(SYS_prctl, PR_SET_NAME, "b");
    CALL(SYS_prctl, PR_GET_NAME, name);
    printf("%s %d %d\n", name, name[2], name[15]);
    CALL(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    CALL(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    CALL(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    CALL(SYS_prctl, PR_SET_DUMPABLE, 2, 0, 0, 0);
    int signal = 77;
    CALL(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR1);
    CALL(SYS_prctl, PR_GET_PDEATHSIG, &signal);
    printf("%d\n", signal);
    CALL(SYS_prctl, PR_SET_PDEATHSIG, 99);
    CALL(SYS_prctl, PR_SET_PDEATHSIG, 0);
    CALL(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    CALL(SYS_prctl, PR_SET_TIMERSLACK, 1234, 0, 0, 0);
    CALL(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    CALL(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    CALL(SYS_prctl, PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0);
    CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0);
    CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    CALL(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    CALL(SYS_prctl, 0x7777, 0, 0, 0, 0);
    CALL(SYS_personality, 0xffffffff);
    CALL(SYS_personality, 0x40000);
    CALL(SYS_personality, 0xffffffff);
    CALL(SYS_membarrier, 77777, 0);
    CALL(SYS_membarrier, 0, 5);
}

static void futexes(void) {
    static uint32_t word = 5, other;
    struct timespec soon = {0, 1000000}, bad = {0, 1000000000}, past = {0, 1};
    CALL(SYS_futex, &word, FUTEX_WAKE, 1);
    CALL(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
    CALL(SYS_futex, &word, FUTEX_WAIT, 4, NULL);
    CALL(SYS_futex, &word, FUTEX_WAIT, 5, &soon);
    CALL(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &bad);
    CALL(SYS_futex, (char *)&word + 1, FUTEX_WAIT, 5, &soon);
    CALL(SYS_futex, (char *)&word + 1, FUTEX_WAKE, 5);
    CALL(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, &past, NULL, -1);
    CALL(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &past, NULL, -1);
    CALL(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, &past, NULL, 0);
    CALL(SYS_futex, &word, FUTEX_WAKE_BITSET, 5, NULL, NULL, 0);
    CALL(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 5);
    CALL(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 6);
    CALL(SYS_futex, &word, FUTEX_REQUEUE, 1, 1, &other, 0);
    CALL(SYS_futex, &word, FUTEX_REQUEUE, -1, 1, &other, 0);
    CALL(SYS_futex, &word, 99, 1, 1, &other, 0);
    CALL(SYS_futex, &word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1);
}

static void times_and_sizes(void) {
    struct sysinfo info;
    CALL(SYS_sysinfo, &info);
    printf("%d %d\n", info.totalram > info.freeram && info.freeram > 0, info.mem_unit == 1);
    struct tms spent;
    WORKS(SYS_times, &spent);
    WORKS(SYS_times, NULL);
    struct rusage usage;
    CALL(SYS_getrusage, RUSAGE_SELF, &usage);
    struct timespec process, thread, monotonic;
    CALL(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &process);
    CALL(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &thread);
    CALL(SYS_nanosleep, &(struct timespec){0, 30000000}, NULL);
    CALL(SYS_clock_gettime, CLOCK_MONOTONIC, &monotonic);
    struct timespec later;
    CALL(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &later);
    /* Time that it slept is not its own. */
    printf("%d\n", (later.tv_sec - process.tv_sec) * 1000000000 + later.tv_nsec - process.tv_nsec < 20000000);
    CALL(SYS_clock_gettime, CLOCK_TAI, &later);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    futexes();
    scheduling();
    limits();
    controls();
    times_and_sizes();
    identity(argc > 1 && !strcmp(argv[1], "root"));
    return 0;
}
