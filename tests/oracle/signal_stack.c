// sigaltstack: a handler on its own stack, for a fault and for kill; and every refusal.
#include "oracle.h"

static stack_t alternate;

static int on_alternate(void) {
    char here;
    return &here >= (char *)alternate.ss_sp && &here < (char *)alternate.ss_sp + alternate.ss_size;
}

static void tell(int number, siginfo_t *info, void *context) {
    stack_t now;
    sigaltstack(NULL, &now);
    printf("SIG%s: on the alternate stack %d, flags %d, code %d\n", sigabbrev_np(number), on_alternate(), now.ss_flags,
           info->si_code);
    if (on_alternate()) TRY(sigaltstack(&alternate, NULL));
    if (number == SIGSEGV) ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)resume_at;
}

static void handle(int number, int flags) {
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO | flags};
    TRY(sigaction(number, &action, NULL));
}

int main(void) {
    begin();
    stack_t old;
    TRY(sigaltstack(NULL, &old));
    printf("at first: %s, flags %d, size %zu\n", old.ss_sp ? "somewhere" : "nowhere", old.ss_flags, old.ss_size);
    alternate = (stack_t){.ss_sp = fresh(0, 16, RW), .ss_size = 16 * PAGE};
    TRY(sigaltstack(&alternate, NULL));
    TRY(sigaltstack(NULL, &old));
    printf("now: %s, flags %d, size %zu\n", place(old.ss_sp), old.ss_flags, old.ss_size);
    handle(SIGUSR1, SA_ONSTACK);
    handle(SIGUSR2, 0);
    handle(SIGSEGV, SA_ONSTACK);
    TRY(raise(SIGUSR1));
    TRY(raise(SIGUSR2));
    store(AT(100), 1);
    printf("back\n");
    store(AT(101), 1);
    printf("and again\n");
    // Refusals.
    stack_t bad = {.ss_sp = AT(0), .ss_size = 100};
    TRY(sigaltstack(&bad, NULL));
    bad = (stack_t){.ss_sp = AT(0), .ss_size = 16 * PAGE, .ss_flags = 77};
    TRY(sigaltstack(&bad, NULL));
    TRY(sigaltstack((void *)8, NULL));
    bad = (stack_t){.ss_flags = SS_DISABLE};
    TRY(sigaltstack(&bad, &old));
    printf("was: %s, flags %d\n", place(old.ss_sp), old.ss_flags);
    TRY(sigaltstack(NULL, &old));
    printf("disabled: flags %d\n", old.ss_flags);
    TRY(raise(SIGUSR1));
    bad = (stack_t){.ss_sp = AT(0), .ss_size = 16 * PAGE, .ss_flags = (int)(1u << 31)};
    TRY(sigaltstack(&bad, NULL));
    TRY(raise(SIGUSR1));
    TRY(sigaltstack(NULL, &old));
    printf("SS_AUTODISARM: flags %x\n", (unsigned)old.ss_flags);
    return end();
}
