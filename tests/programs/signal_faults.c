/* Signals that instructions raise, and handlers that mend what was wrong. Says what a handler is told: the same as Linux
   tells. With an argument: a way to die of a signal that cannot be handled. */
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096UL

static char *page;       /* one page, readable, then some that nothing is mapped at */
static sigjmp_buf out;
static volatile sig_atomic_t depth;
static char alternate[64 << 10] __attribute__((aligned(16)));

static const char *place(const void *address, const void *rip) {
    static char text[64];
    if (address == rip)
        return "the instruction";
    if ((char *)address >= page && (char *)address < page + 16 * PAGE) {
        sprintf(text, "page + %#lx", (unsigned long)((char *)address - page));
        return text;
    }
    sprintf(text, "%p", address);
    return text;
}

static void tell(int number, siginfo_t *info, ucontext_t *context) {
    greg_t *r = context->uc_mcontext.gregs;
    printf("  signal %d code %d errno %d at %s, trap %lld error %llx", number, info->si_code, info->si_errno,
           place(info->si_addr, (void *)r[REG_RIP]), r[REG_TRAPNO], r[REG_ERR]);
    if (r[REG_TRAPNO] == 14)
        printf(" cr2 %s", place((void *)r[REG_CR2], (void *)r[REG_RIP]));
    printf(" selectors %llx\n", r[REG_CSGSFS]);
}

static void jump_out(int number, siginfo_t *info, void *context) {
    tell(number, info, context);
    siglongjmp(out, 1);
}

/* The same on a stack that has little room: the telling is left to others. */
static volatile int told_number, told_code;
static void jump_out_quietly(int number, siginfo_t *info, void *context) {
    (void)context;
    told_number = number, told_code = info->si_code;
    siglongjmp(out, 1);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL))
        perror("sigaction");
}

#define TRY(what, ...) \
    do { \
        puts(what); \
        fflush(stdout); \
        if (!sigsetjmp(out, 1)) { \
            __VA_ARGS__; \
            puts("  lived"); \
        } \
    } while (0)

static void mend(int number, siginfo_t *info, void *context) {
    tell(number, info, context);
    if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
        perror("mprotect");
}

extern char after_bad[];
static void step_over(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    tell(number, info, c);
    c->uc_mcontext.gregs[REG_RIP] = (greg_t)after_bad;
    c->uc_mcontext.gregs[REG_RBX] = 4711;
    c->uc_mcontext.gregs[REG_EFL] |= 1;
}

static void trace(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    (void)number, (void)info;
    depth++;
    told_code = info->si_code;
    if (depth == 3)
        c->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

static void nested(int number, siginfo_t *info, void *context) {
    tell(number, info, context);
    if (++depth < 3)
        *(volatile char *)(page + PAGE + depth) = 1;
    printf("  depth %d\n", depth);
    siglongjmp(out, 1);
}

static volatile int for_ever = 1;
static int recurse(int n) {
    volatile char room[4096];
    room[0] = (char)n;
    return (for_ever ? recurse(n + 1) : 0) + room[0];
}

static double kept;
static void use_fpu(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    ucontext_t *c = context;
    /* A handler starts with the state of a fresh program. */
    kept = fegetround() == FE_TONEAREST ? 1.0 : 2.0;
    asm volatile("pxor %%xmm7, %%xmm7; pxor %%xmm12, %%xmm12; fninit; fldpi" ::: "xmm7", "xmm12");
    printf("  mxcsr %x, control word %x, xmm12 %x\n", c->uc_mcontext.fpregs->mxcsr, c->uc_mcontext.fpregs->cwd,
           c->uc_mcontext.fpregs->_xmm[12].element[0]);
    c->uc_mcontext.fpregs->_xmm[12].element[1] = 0x1234;
}

static void fpu(void) {
    uint32_t before[4] = {0x11111111, 0x22222222, 0x33333333, 0x44444444}, seven[4], twelve[4];
    double x87;
    fesetround(FE_UPWARD);
    asm volatile("fld1; movups %3, %%xmm7; movups %3, %%xmm12; movb $1, (%4); movups %%xmm7, %0; movups %%xmm12, %1; fstpl %2"
                 : "=m"(seven), "=m"(twelve), "=m"(x87)
                 : "m"(before), "r"(page)
                 : "xmm7", "xmm12", "memory");
    printf("  %x %x, %x %x, %g, rounding %s\n", seven[0], seven[3], twelve[0], twelve[1], x87,
           fegetround() == FE_UPWARD ? "upwards" : "otherwise");
    printf("  in the handler %s\n", kept == 1.0 ? "to the nearest" : "otherwise");
    fesetround(FE_TONEAREST);
}

static void mend_and_use_fpu(int number, siginfo_t *info, void *context) {
    use_fpu(number, info, context);
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

/* What a handler may do to the context that it returns to. */
static volatile int spoil;
static void spoiler(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    greg_t *r = c->uc_mcontext.gregs;
    (void)number, (void)info;
    switch (spoil) {
    case 0: r[REG_RIP] = 0x800000000000; break;
    case 1: r[REG_RIP] = (greg_t)0xffffffff80100000; break;
    case 2: r[REG_RIP] = 0x1234; break;
    case 3: r[REG_CSGSFS] &= ~0xffffL; break;
    case 4: r[REG_CSGSFS] = (r[REG_CSGSFS] & ~0xffffL) | 0x10; break;
    case 5: r[REG_CSGSFS] &= ~(0xffffL << 48); break;
    case 6: c->uc_mcontext.fpregs = (void *)0x1000; break;
    case 7: c->uc_mcontext.fpregs->mxcsr = 0xffffffff; break;
    case 8: r[REG_RSP] = 0x800000000000; break;
    case 9: r[REG_EFL] = -1 & ~0x100; break;
    case 10: sigaddset(&c->uc_sigmask, SIGUSR2); break;
    case 11: c->uc_mcontext.fpregs = NULL; break;
    }
}

static void jump_out_briefly(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    printf("  signal %d code %d trap %lld error %llx\n", number, info->si_code, c->uc_mcontext.gregs[REG_TRAPNO],
           c->uc_mcontext.gregs[REG_ERR]);
    siglongjmp(out, 1);
}

static void spoiled(void) {
    sigset_t mask;
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    handle(SIGUSR1, spoiler, 0);
    handle(SIGSEGV, jump_out_briefly, SA_ONSTACK);
    handle(SIGBUS, jump_out_briefly, SA_ONSTACK);
    for (spoil = 0; spoil < 12; spoil++) {
        printf("spoiled context %d\n", spoil);
        if (!sigsetjmp(out, 1)) {
            raise(SIGUSR1);
            asm volatile("push $0x202; popfq" ::: "cc", "memory");
            sigprocmask(SIG_BLOCK, NULL, &mask);
            printf("  lived, SIGUSR2 blocked %d\n", sigismember(&mask, SIGUSR2));
        }
    }
}

static int died(const char *how) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    handle(SIGSEGV, jump_out, 0);
    handle(SIGILL, jump_out, 0);
    if (!strcmp(how, "blocked")) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGSEGV);
        sigprocmask(SIG_BLOCK, &set, NULL);
        *(volatile char *)(page + PAGE) = 1;
    } else if (!strcmp(how, "ignored")) {
        signal(SIGFPE, SIG_IGN);
        asm volatile("xor %%ecx, %%ecx; mov $1, %%eax; xor %%edx, %%edx; div %%ecx" ::: "rax", "rcx", "rdx");
    } else if (!strcmp(how, "no-stack")) {
        asm volatile("mov $0x10000, %rsp; ud2");
    } else if (!strcmp(how, "no-stack-segv")) {
        asm volatile("xor %esp, %esp; push %rax");
    } else if (!strcmp(how, "overflow")) {
        recurse(0);
    } else if (!strcmp(how, "small-alternate")) {
        /* Large enough to be taken, but no frame fits below where its user has got to. */
        stack.ss_size = MINSIGSTKSZ;
        stack.ss_sp = alternate;
        handle(SIGSEGV, jump_out_quietly, SA_ONSTACK);
        handle(SIGILL, jump_out_quietly, SA_ONSTACK);
        sigaltstack(&stack, NULL);
        asm volatile("mov %0, %%rsp; ud2" ::"r"(alternate + 300));
    } else if (!strcmp(how, "unmapped-stack")) {
        asm volatile("mov %%rsp, %%rdi; and $-4096, %%rdi; sub $0x10000, %%rdi; mov $0x40000, %%esi; mov $11, %%eax; "
                     "syscall; mov $39, %%eax; syscall; mov %%eax, %%edi; mov $10, %%esi; mov $62, %%eax; syscall; ud2" ::
                         : "rax", "rdi", "rsi", "rcx", "r11", "memory");
    } else if (!strcmp(how, "bad-return")) {
        asm volatile("mov $0x30000, %esp; mov $15, %eax; syscall");
    }
    return 77;
}

int main(int argc, char **argv) {
    page = mmap(NULL, 16 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + PAGE, 15 * PAGE);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc > 1)
        return died(argv[1]);

    for (int i = 0; i < 4; i++)
        handle((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL}[i], jump_out, 0);
    handle(SIGTRAP, jump_out, 0);

    TRY("nothing mapped", *(volatile char *)(page + PAGE + 5) = 1);
    TRY("read of nothing", (void)*(volatile char *)(page + PAGE + 6));
    TRY("write to what can be read", page[7] = 1);
    TRY("write to what was read", (void)*(volatile char *)(page + 8); page[8] = 1);
    TRY("execution of data", ((void (*)(void))page)());
    TRY("a jump to 0", asm volatile("xor %%eax, %%eax; call *%%rax" ::: "rax"));
    TRY("the kernel's memory", (void)*(volatile char *)0xffff888000000010);
    TRY("a jump to the kernel", asm volatile("mov $0xffffffff80100000, %%rax; call *%%rax" ::: "rax"));
    TRY("beyond the user half", (void)*(volatile char *)0x7ffffffff000);
    TRY("no address", (void)*(volatile char *)0x800000000000);
    TRY("a jump to no address", asm volatile("mov $0x800000000000, %%rax; jmp *%%rax" ::: "rax"));
    TRY("division by zero", asm volatile("xor %%ecx, %%ecx; mov $1, %%eax; xor %%edx, %%edx; div %%ecx" ::: "rax", "rcx", "rdx"));
    TRY("an illegal instruction", asm volatile("ud2"));
    TRY("a privileged one", asm volatile("hlt"));
    TRY("a port", asm volatile("in $0x80, %%al" ::: "rax"));
    TRY("a breakpoint", asm volatile("int3"));
    TRY("a misaligned operand", asm volatile("movaps 1(%%rsp), %%xmm0" ::: "xmm0"));
    TRY("SSE's division by zero", asm volatile("push $0; stmxcsr (%%rsp); andl $~0x200, (%%rsp); ldmxcsr (%%rsp); pop %%rax;"
                                               "mov $1, %%eax; cvtsi2sd %%eax, %%xmm0; xorps %%xmm1, %%xmm1; divsd %%xmm1, %%xmm0" ::: "rax", "xmm0", "xmm1"));
    TRY("SSE's invalid operation", asm volatile("push $0; stmxcsr (%%rsp); andl $~0x80, (%%rsp); ldmxcsr (%%rsp); pop %%rax;"
                                                "xorps %%xmm0, %%xmm0; xorps %%xmm1, %%xmm1; divsd %%xmm1, %%xmm0" ::: "rax", "xmm0", "xmm1"));
    feclearexcept(FE_ALL_EXCEPT);
    fedisableexcept(FE_ALL_EXCEPT);
    TRY("x87's division by zero", asm volatile("push $0x37b; fninit; fldcw (%%rsp); pop %%rax; fld1; fldz; fdivrp; fwait" ::: "rax"));
    asm volatile("fninit");

    puts("past the end of a file");
    int file = open("/proc/self/exe", O_RDONLY);
    struct stat status;
    if (file >= 0 && fstat(file, &status) == 0) {
        off_t last = (status.st_size - 1) / (off_t)PAGE * (off_t)PAGE;
        char *mapped = mmap(page + PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, last);
        TRY("its last page", printf("  %d\n", mapped[4095]));
        TRY("the next", (void)*(volatile char *)(mapped + PAGE + 1));
        munmap(mapped, 2 * PAGE);
    }

    puts("mended");
    handle(SIGSEGV, mend, 0);
    page[9] = 42;
    printf("  %d\n", page[9]);
    mprotect(page, PAGE, PROT_READ);

    puts("registers kept and the FPU's state");
    handle(SIGSEGV, mend_and_use_fpu, 0);
    fpu();
    mprotect(page, PAGE, PROT_READ);

    puts("stepped over");
    handle(SIGILL, step_over, 0);
    long rbx;
    char carry;
    asm volatile("clc; mov $1, %%rbx; ud2; after_bad: mov %%rbx, %0; setc %1" : "=r"(rbx), "=r"(carry)::"rbx", "cc");
    printf("  rbx %ld, carry %d\n", rbx, carry);

    puts("single steps");
    handle(SIGTRAP, trace, 0);
    depth = 0;
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop; nop; nop; nop" ::: "memory", "cc");
    printf("  %d steps, code %d\n", depth, told_code);

    depth = 0;
    handle(SIGSEGV, nested, SA_NODEFER);
    TRY("nested", *(volatile char *)(page + PAGE) = 1);
    printf("  %d deep\n", depth);

    puts("on an alternate stack");
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    handle(SIGSEGV, jump_out_quietly, SA_ONSTACK);
    if (!sigsetjmp(out, 1))
        recurse(0);
    printf("  signal %d code %d\n", told_number, told_code);
    if (!sigsetjmp(out, 1))
        recurse(0);
    printf("  again: signal %d code %d\n", told_number, told_code);
    spoiled();
    return 0;
}
