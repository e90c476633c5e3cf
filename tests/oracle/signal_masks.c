// Signal masks: blocked signals wait, one of a kind; the handler's mask; SA_NODEFER, SA_RESETHAND; sigpending, sigsuspend.
#include "oracle.h"

static int depth, nested;

static void tell(int number) {
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    printf("%*sSIG%s: itself blocked %d, SIGUSR2 blocked %d\n", depth * 2, "", sigabbrev_np(number),
           sigismember(&mask, number), sigismember(&mask, SIGUSR2));
    if (nested > 0 && depth < 2) {
        nested--;
        depth++;
        raise(number);
        raise(SIGUSR2);
        depth--;
        printf("%*sleaving SIG%s\n", depth * 2, "", sigabbrev_np(number));
    }
}

static void handle(int number, int flags, int also) {
    struct sigaction action = {.sa_handler = tell, .sa_flags = flags};
    if (also) sigaddset(&action.sa_mask, also);
    TRY(sigaction(number, &action, NULL));
}

static void pending(const char *when) {
    sigset_t set;
    sigpending(&set);
    printf("pending %s:", when);
    for (int number = 1; number < 32; number++) {
        if (sigismember(&set, number) == 1) printf(" SIG%s", sigabbrev_np(number));
    }
    printf("\n");
}

int main(void) {
    begin();
    sigset_t set, old;
    handle(SIGUSR1, 0, SIGUSR2);
    handle(SIGUSR2, 0, 0);
    TRY(raise(SIGUSR1));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGKILL);
    TRY(sigprocmask(SIG_BLOCK, &set, NULL));
    TRY(sigprocmask(SIG_BLOCK, NULL, &old));
    printf("SIGKILL blocked: %d\n", sigismember(&old, SIGKILL));
    TRY(raise(SIGUSR1));
    TRY(raise(SIGUSR1));
    pending("while blocked");
    TRY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    pending("after");
    // What is ignored does not wait.
    TRY(sigprocmask(SIG_BLOCK, &set, NULL));
    signal(SIGUSR1, SIG_IGN);
    TRY(raise(SIGUSR1));
    pending("ignored");
    TRY(sigprocmask(SIG_SETMASK, &old, NULL));
    sigemptyset(&set);
    TRY(sigprocmask(SIG_SETMASK, &set, NULL));
    // Within a handler.
    nested = 2;
    handle(SIGUSR1, 0, SIGUSR2);
    TRY(raise(SIGUSR1));
    printf("with SA_NODEFER\n");
    nested = 2;
    handle(SIGUSR1, SA_NODEFER, 0);
    TRY(raise(SIGUSR1));
    nested = 0;
    handle(SIGUSR1, SA_RESETHAND, 0);
    TRY(raise(SIGUSR1));
    struct sigaction action;
    TRY(sigaction(SIGUSR1, NULL, &action));
    printf("default again: %d\n", action.sa_handler == SIG_DFL);
    // Several at once come in the order of their numbers.
    handle(SIGUSR1, 0, 0);
    sigfillset(&set);
    TRY(sigprocmask(SIG_BLOCK, &set, &old));
    TRY(kill(getpid(), SIGUSR2));
    TRY(kill(getpid(), SIGUSR1));
    TRY(kill(getpid(), SIGCHLD));
    pending("two");
    TRY(sigsuspend(&old));
    TRY(sigprocmask(SIG_SETMASK, &old, NULL));
    // Refusals.
    TRY(sigaction(SIGKILL, &action, NULL));
    TRY(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8));
    TRY(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    TRY(syscall(SYS_rt_sigprocmask, 9, &set, NULL, 8));
    TRY(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, 8));
    TRY(kill(getpid(), 65));
    TRY(kill(getpid(), 0));
    TRY(kill(0x3fffffff, 0));
    TRY(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
    TRY(syscall(SYS_tgkill, getpid(), 0, SIGUSR1));
    return end();
}
