/* Signals that are sent: actions, masks, order, what handlers are told, alternate stacks, waits and timers. Everything
   it prints is Linux's to say. With an argument: a way to die. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define RT (SIGRTMIN + 3)

static char alternate[32 << 10] __attribute__((aligned(16)));
static volatile sig_atomic_t count, inner;
static char order[256];

static void attempt(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %ld\n", what, result);
}

static void told(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    count++;
    int fault = info->si_code > 0;
    printf("  got %d: code %d, %s, value %d, mask %lx, stack %d\n", number, info->si_code,
           fault ? "kernel" : info->si_pid == getpid() ? "from itself" : info->si_pid == 0 ? "from nobody" : "from another",
           info->si_code == SI_QUEUE ? info->si_value.sival_int : 0, c->uc_sigmask.__val[0], c->uc_stack.ss_flags);
}

static void note(int number) {
    char text[16];
    sprintf(text, " %d", number);
    strcat(order, text);
    count++;
}

static void note_and_raise(int number) {
    note(number);
    if (!inner++) {
        raise(SIGUSR1);
        raise(SIGUSR2);
        strcat(order, " back");
    }
}

static void act(int number, void *handler, int flags, int masked) {
    struct sigaction action = {.sa_flags = flags};
    action.sa_sigaction = (void (*)(int, siginfo_t *, void *))handler;
    sigemptyset(&action.sa_mask);
    if (masked)
        sigaddset(&action.sa_mask, masked);
    attempt("  sigaction", sigaction(number, &action, NULL));
}

static sigset_t set_of(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    if (a)
        sigaddset(&set, a);
    if (b)
        sigaddset(&set, b);
    return set;
}

static void show_order(const char *what) {
    printf("%s:%s\n", what, order);
    order[0] = 0;
}

static void show_pending(void) {
    sigset_t pending;
    sigpending(&pending);
    printf("  pending %lx\n", pending.__val[0]);
}

static void sending(void) {
    puts("sending");
    act(SIGUSR1, told, SA_SIGINFO, SIGUSR2);
    attempt("raise", raise(SIGUSR1));
    attempt("kill", kill(getpid(), SIGUSR1));
    attempt("kill the group", kill(0, 0));
    union sigval value = {.sival_int = 77};
    attempt("sigqueue", sigqueue(getpid(), SIGUSR1, value));
    attempt("no signal", kill(getpid(), 0));
    attempt("signal 65", kill(getpid(), 65));
    attempt("signal -1", kill(getpid(), -1));
    attempt("nobody", kill(0x3fffffff, SIGTERM));
    attempt("nobody, no signal", kill(0x3fffffff, 99));
    attempt("tgkill nobody", syscall(SYS_tgkill, getpid(), 0x3fffffff, SIGTERM));
    attempt("tgkill nobody, no signal", syscall(SYS_tgkill, getpid(), 0x3fffffff, 99));
    attempt("tgkill 0", syscall(SYS_tgkill, 0, getpid(), SIGTERM));
    attempt("tkill nobody", syscall(SYS_tkill, 0x3fffffff, 0));
    attempt("ignored by default", raise(SIGCHLD));
    attempt("ignored", (signal(SIGTERM, SIG_IGN), raise(SIGTERM)));
    attempt("SIGCONT", raise(SIGCONT));
}

static void masks(void) {
    puts("masks");
    sigset_t set = set_of(SIGUSR1, SIGKILL), old;
    attempt("block", sigprocmask(SIG_BLOCK, &set, NULL));
    sigprocmask(SIG_BLOCK, NULL, &old);
    printf("  blocked %lx\n", old.__val[0]);
    raise(SIGUSR1);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    show_pending();
    attempt("unblock", sigprocmask(SIG_UNBLOCK, &set, NULL));
    show_pending();
    attempt("how", sigprocmask(77, &set, NULL));
    attempt("how, no set", syscall(SYS_rt_sigprocmask, 77, NULL, NULL, 8));
    attempt("set size", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4));
    attempt("pending size", syscall(SYS_rt_sigpending, &set, 9));
    attempt("small pending size", syscall(SYS_rt_sigpending, &set, 3));
    attempt("action size", syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    attempt("handle SIGKILL", syscall(SYS_rt_sigaction, SIGKILL, alternate, NULL, 8));
    attempt("look at SIGKILL", syscall(SYS_rt_sigaction, SIGKILL, NULL, alternate, 8));
    attempt("action of 0", syscall(SYS_rt_sigaction, 0, NULL, NULL, 8));
    attempt("action of 65", syscall(SYS_rt_sigaction, 65, NULL, NULL, 8));
    uint64_t raw[4] = {(uint64_t)SIG_IGN, ~0UL, 0, ~0UL}, back[4];
    syscall(SYS_rt_sigaction, SIGHUP, raw, NULL, 8);
    syscall(SYS_rt_sigaction, SIGHUP, NULL, back, 8);
    printf("  kept %lx %lx %lx %lx\n", back[0], back[1], back[2], back[3]);

    /* A pending signal that comes to be ignored is forgotten. */
    set = set_of(SIGUSR2, RT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    show_pending();
    signal(SIGUSR2, SIG_IGN);
    show_pending();
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void ordering(void) {
    puts("order");
    for (int number = 1; number <= 64; number++)
        if (number == SIGUSR1 || number == SIGUSR2 || number == SIGTERM || number == SIGSEGV || number >= RT)
            signal(number, note);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &all, NULL);
    int sent[] = {RT + 1, SIGUSR2, SIGTERM, RT, SIGUSR1, SIGSEGV, RT + 1};
    for (unsigned i = 0; i < sizeof sent / sizeof *sent; i++)
        raise(sent[i]);
    kill(getpid(), SIGUSR1);
    sigprocmask(SIG_SETMASK, &none, NULL);
    show_order("all at once");

    signal(SIGUSR1, note_and_raise);
    inner = 0;
    raise(SIGUSR1);
    show_order("nested");
    struct sigaction action = {.sa_handler = note_and_raise, .sa_flags = SA_NODEFER};
    sigaction(SIGUSR1, &action, NULL);
    inner = 0;
    raise(SIGUSR1);
    show_order("nested, not deferred");
    action = (struct sigaction){.sa_handler = note_and_raise};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    inner = 0;
    raise(SIGUSR1);
    show_order("nested, the other blocked");
    action = (struct sigaction){.sa_handler = note, .sa_flags = SA_RESETHAND};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &action);
    printf("  reset %d, flags %x\n", action.sa_handler == SIG_DFL, action.sa_flags & (int)SA_RESETHAND);
    order[0] = 0;
}

static void queues(void) {
    puts("queues");
    act(RT, told, SA_SIGINFO, 0);
    sigset_t set = set_of(RT, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 1; i <= 3; i++)
        sigqueue(getpid(), RT, (union sigval){.sival_int = i});
    raise(RT);
    sigprocmask(SIG_UNBLOCK, &set, NULL);

    sigprocmask(SIG_BLOCK, &set, NULL);
    sigqueue(getpid(), RT, (union sigval){.sival_int = 9});
    siginfo_t info;
    struct timespec soon = {0, 1000000};
    attempt("sigwaitinfo", sigwaitinfo(&set, &info));
    printf("  value %d, code %d\n", info.si_value.sival_int, info.si_code);
    attempt("sigtimedwait", sigtimedwait(&set, &info, &soon));
    attempt("sigtimedwait, bad time", sigtimedwait(&set, &info, &(struct timespec){0, 1000000000}));
    attempt("sigtimedwait, none", sigtimedwait(&set, &info, &(struct timespec){0, 0}));
    attempt("sigtimedwait, size", syscall(SYS_rt_sigtimedwait, &set, &info, &soon, 7));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    siginfo_t forged = {.si_code = SI_USER, .si_pid = 12345};
    attempt("forged", syscall(SYS_rt_sigqueueinfo, getpid(), RT, &forged));
    forged.si_code = SI_QUEUE;
    attempt("to a thread", syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), RT, &forged));
    attempt("to nobody", syscall(SYS_rt_sigqueueinfo, 0x3fffffff, RT, &forged));
}

static void on_alternate(int number) {
    char here;
    stack_t stack;
    (void)number;
    printf("  on it: %d\n", &here >= alternate && &here < alternate + sizeof alternate);
    attempt("  change it", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 8192}, NULL));
    attempt("  look at it", sigaltstack(NULL, &stack));
    printf("  flags %x\n", stack.ss_flags);
}

static void stacks(void) {
    puts("alternate stacks");
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
    sigaltstack(NULL, &old);
    printf("  flags %x, size %zu\n", old.ss_flags, old.ss_size);
    attempt("set", sigaltstack(&stack, NULL));
    sigaltstack(NULL, &old);
    printf("  flags %x, size %zu\n", old.ss_flags, old.ss_size);
    act(SIGUSR1, on_alternate, SA_ONSTACK, 0);
    raise(SIGUSR1);
    act(SIGUSR1, on_alternate, 0, 0);
    raise(SIGUSR1);
    attempt("small", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 2047}, NULL));
    attempt("flags", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 8192, .ss_flags = 8}, NULL));
    stack.ss_flags = (int)(1u << 31); /* SS_AUTODISARM */
    attempt("disarmed by handlers", sigaltstack(&stack, NULL));
    act(SIGUSR1, on_alternate, SA_ONSTACK, 0);
    raise(SIGUSR1);
    sigaltstack(NULL, &old);
    printf("  flags %x, size %zu\n", old.ss_flags, old.ss_size);
    attempt("off", sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, &old));
    sigaltstack(NULL, &old);
    printf("  flags %x\n", old.ss_flags);
}

static uint32_t word;
static void change_word(int number) {
    (void)number;
    word++;
}

static void waits(void) {
    puts("waits and timers");
    struct sigaction action = {.sa_handler = note};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {0, 20000}}, left;
    count = 0;
    attempt("setitimer", setitimer(ITIMER_REAL, &timer, NULL));
    attempt("pause", pause());
    attempt("getitimer", getitimer(ITIMER_REAL, &left));
    printf("  count %d, left %ld %ld\n", count, left.it_value.tv_sec, left.it_value.tv_usec);
    timer = (struct itimerval){.it_value = {0, 10000}, .it_interval = {0, 10000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    while (count < 4)
        pause();
    setitimer(ITIMER_REAL, &(struct itimerval){0}, &left);
    printf("  interval %ld, running %d\n", left.it_interval.tv_usec, left.it_value.tv_usec > 0);

    struct timespec rest = {7, 7};
    timer = (struct itimerval){.it_value = {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    attempt("nanosleep", nanosleep(&(struct timespec){5, 0}, &rest));
    printf("  rest %d\n", rest.tv_sec == 4 && rest.tv_nsec > 0);
    attempt("a whole one", nanosleep(&(struct timespec){0, 1000000}, &rest));
    attempt("bad time", nanosleep(&(struct timespec){0, -1}, NULL));
    attempt("clock_nanosleep", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){0, 1000}, NULL));
    attempt("a time that is past", syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){1, 0}, NULL));
    attempt("no clock", syscall(SYS_clock_nanosleep, 99, 0, &rest, NULL));
    attempt("a clock that nobody sleeps on", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &rest, NULL));

    attempt("alarm", alarm(100));
    attempt("alarm again", alarm(0));
    attempt("no alarm", alarm(0));
    attempt("no timer", setitimer(3, &timer, NULL));
    attempt("bad value", setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 1000000}}, NULL));

    sigset_t block = set_of(SIGALRM, SIGUSR1), none = set_of(0, 0);
    sigprocmask(SIG_BLOCK, &block, NULL);
    timer = (struct itimerval){.it_value = {0, 5000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    count = 0;
    attempt("sigsuspend", sigsuspend(&none));
    sigprocmask(SIG_BLOCK, NULL, &none);
    printf("  count %d, blocked %lx\n", count, none.__val[0]);
    setitimer(ITIMER_REAL, &timer, NULL);
    int number = 0;
    attempt("sigwait", sigwait(&block, &number));
    printf("  %d\n", number);
    sigprocmask(SIG_UNBLOCK, &block, NULL);

    /* A call that a handler interrupts starts again if the handler asks for that. */
    for (int flags = 0; flags <= (int)SA_RESTART; flags += (int)SA_RESTART) {
        word = 5;
        action = (struct sigaction){.sa_handler = change_word, .sa_flags = flags};
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &timer, NULL);
        attempt("futex", syscall(SYS_futex, &word, FUTEX_WAIT, 5, NULL));
    }
    block = set_of(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &block, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    attempt("sigwaitinfo, interrupted", syscall(SYS_rt_sigtimedwait, &block, NULL, NULL, 8));
    sigprocmask(SIG_UNBLOCK, &block, NULL);

    signal(SIGPROF, note);
    order[0] = 0;
    count = 0;
    timer = (struct itimerval){.it_value = {0, 1000}};
    setitimer(ITIMER_PROF, &timer, NULL);
    while (!count)
        getppid();
    printf("time of its own: %s\n", order);
    attempt("wait", wait(NULL));
    attempt("waitid", waitid(P_ALL, 0, NULL, WEXITED));
    attempt("wait4 options", wait4(-1, NULL, 4, NULL));
}

static int died(const char *how) {
    if (!strcmp(how, "alarm")) {
        alarm(1);
        for (;;)
            pause();
    } else if (!strcmp(how, "reset")) {
        struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};
        sigaction(SIGTERM, &action, NULL);
        raise(SIGTERM);
        raise(SIGTERM);
    } else if (!strcmp(how, "kill")) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        kill(getpid(), SIGKILL);
    } else if (!strcmp(how, "no-restorer")) {
        uint64_t raw[4] = {(uint64_t)note, 0, 0, 0};
        syscall(SYS_rt_sigaction, SIGUSR1, raw, NULL, 8);
        raise(SIGUSR1);
    } else if (!strcmp(how, "real-time")) {
        raise(RT);
    } else if (!strcmp(how, "bad-handler")) {
        signal(SIGUSR1, (void (*)(int))0x800000000000);
        raise(SIGUSR1);
    } else if (!strcmp(how, "never")) {
        pause();
    } else if (!strcmp(how, "stop")) {
        raise(SIGSTOP);
    }
    return 77;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc > 1)
        return died(argv[1]);
    sending();
    masks();
    ordering();
    queues();
    stacks();
    waits();
    return 0;
}
