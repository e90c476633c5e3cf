// Whether a program keeps its registers across everything that leads into the kernel, and what it starts with.
#define OWN_START
#include "start.h"

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15, FLAGS, GENERAL };

static const char *const names[GENERAL] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8",
                                           "r9", "r10", "r11", "r12", "r13", "r14", "r15", "flags"};

struct registers {
    unsigned long general[GENERAL];
    // As FXSAVE lays them out.
    unsigned char media[512] __attribute__((aligned(16)));
};

__attribute__((used)) static struct registers first, before, after;
__attribute__((used)) static unsigned long own_stack, stack_after, selectors[6];

#define LOAD_ALL                                                                                               \
    "mov before+0*8, %rax\n mov before+1*8, %rbx\n mov before+2*8, %rcx\n mov before+3*8, %rdx\n"               \
    "mov before+4*8, %rsi\n mov before+5*8, %rdi\n mov before+6*8, %rbp\n mov before+7*8, %r8\n"                \
    "mov before+8*8, %r9\n mov before+9*8, %r10\n mov before+10*8, %r11\n mov before+11*8, %r12\n"              \
    "mov before+12*8, %r13\n mov before+13*8, %r14\n mov before+14*8, %r15\n"
#define STORE_ALL(to)                                                                                          \
    "mov %rax, " to "+0*8\n mov %rbx, " to "+1*8\n mov %rcx, " to "+2*8\n mov %rdx, " to "+3*8\n"               \
    "mov %rsi, " to "+4*8\n mov %rdi, " to "+5*8\n mov %rbp, " to "+6*8\n mov %r8, " to "+7*8\n"                \
    "mov %r9, " to "+8*8\n mov %r10, " to "+9*8\n mov %r11, " to "+10*8\n mov %r12, " to "+11*8\n"              \
    "mov %r13, " to "+12*8\n mov %r14, " to "+13*8\n mov %r15, " to "+14*8\n"

// A function that takes all registers from `before`, does something, and leaves them in `after`. The instruction after
// that is `NAME_next`.
#define EXERCISE(name, code)                                                                                    \
    void name(void);                                                                                            \
    extern char name##_next[];                                                                                  \
    asm(#name ": push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n mov %rsp, own_stack\n" \
        "fxrstor before+128\n pushq before+15*8\n popfq\n" LOAD_ALL code "\n" #name "_next:\n" STORE_ALL("after") \
        "mov %rsp, stack_after\n mov own_stack, %rsp\n pushfq\n popq after+15*8\n pushq $2\n popfq\n"            \
        "fxsave after+128\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

EXERCISE(do_nothing, "")
EXERCISE(do_syscall, "syscall")
EXERCISE(do_write, "movb $1, (%rbx)")
EXERCISE(do_read, "mov (%rbx), %rax")
EXERCISE(do_call, "call *%rbx")
EXERCISE(do_cpuid, "cpuid")
EXERCISE(do_grow, "movb $1, -0x40000(%rsp)")

_Static_assert(offsetof(struct registers, media) == 128, "the assembly above knows it");

static int same_bytes(const unsigned char *a, const unsigned char *b, size_t count) {
    while (count && *a == *b) a++, b++, count--;
    return !count;
}

// Does it, with patterns everywhere but in the registers given, and says which registers changed.
static void exercise(const char *name, void (*code)(void), unsigned long flags, unsigned long rax, unsigned long rbx) {
    for (int i = 0; i < FLAGS; i++) before.general[i] = 0x1111111111111111UL * (i + 1) ^ 0x8000000000000001;
    before.general[RAX] = rax;
    before.general[RBX] = rbx;
    before.general[FLAGS] = flags;
    asm volatile("fxsave %0" : "+m"(before.media));
    *(uint16_t *)before.media = 0x0f7f;
    *(uint32_t *)(before.media + 24) = 0x1fbf;
    before.media[4] = 0xff;
    for (int i = 32; i < 160; i++) before.media[i] = i % 16 < 10 ? i * 37 | 0x80 : 0;
    for (int i = 160; i < 416; i++) before.media[i] = i * 73 + 5;
    code();
    say(name);
    say(":");
    for (int i = 0; i < GENERAL; i++) {
        if (after.general[i] != before.general[i]) {
            say(" ");
            say(names[i]);
        }
    }
    if (stack_after != own_stack) say(" rsp");
    if (!same_bytes(before.media, after.media, 2)) say(" fcw");
    if (!same_bytes(before.media + 24, after.media + 24, 4)) say(" mxcsr");
    if (!same_bytes(before.media + 32, after.media + 32, 128)) say(" x87");
    if (!same_bytes(before.media + 160, after.media + 160, 256)) say(" xmm");
    unsigned long fs = 0, gs = 0;
    call2(SYS_arch_prctl, 0x1003, &fs);
    call2(SYS_arch_prctl, 0x1004, &gs);
    if (fs != 0x12345678) say(" fs");
    if (gs != 0x7edcba987654) say(" gs");
    say("\n");
}

static void say_register(const char *name, unsigned long value) {
    say(name);
    say(" ");
    say_number(value, 16);
    say("\n");
}

// After a system call RCX is the next instruction's address and R11 the flags; neither tells anything of the kernel.
static void check_syscall(const char *name, char *next, unsigned long flags) {
    say(name);
    say(after.general[RCX] == (unsigned long)next ? ": rcx as on Linux," : ": rcx is wrong,");
    say(after.general[R11] == flags ? " r11 as on Linux\n" : " r11 is wrong\n");
}

int program(long argc, char **argv) {
    (void)argc, (void)argv;
    for (int i = 0; i < GENERAL; i++) say_register(names[i], first.general[i]);
    say_register("fcw", *(uint16_t *)first.media);
    say_register("mxcsr", *(uint32_t *)(first.media + 24));
    int zeros = 1;
    for (int i = 32; i < 416; i++) zeros &= !first.media[i];
    say(zeros ? "xmm zero\n" : "xmm not zero\n");
    for (int i = 0; i < 6; i++) say_register("selector", selectors[i]);

    call2(SYS_arch_prctl, 0x1002, 0x12345678);
    call2(SYS_arch_prctl, 0x1001, 0x7edcba987654);
    // IF, and then all arithmetic flags, the direction flag, ID and AC.
    static const unsigned long flags[] = {0x202, 0x202 | 0x8d5, 0x202 | 0x400, 0x240e02 | 0x8d5};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        exercise("nothing", do_nothing, flags[i], 0, 0);
        exercise("getpid", do_syscall, flags[i], SYS_getpid, 7);
        check_syscall("getpid", do_syscall_next, flags[i]);
        exercise("unknown call", do_syscall, flags[i], 999, 7);
        check_syscall("unknown call", do_syscall_next, flags[i]);
        exercise("failing write", do_syscall, flags[i], SYS_write, 7);
        check_syscall("failing write", do_syscall_next, flags[i]);
        exercise("write fault", do_write, flags[i], 5, (unsigned long)map(PAGE));
        exercise("read fault", do_read, flags[i], 0, (unsigned long)map(PAGE));
        char *code = map_at(NULL, PAGE, 7, 0);
        code[0] = (char)0xc3;
        call3(SYS_mprotect, code, PAGE, PROT_NONE);
        call3(SYS_mprotect, code, PAGE, PROT_READ | PROT_EXEC);
        exercise("execution fault", do_call, flags[i], 5, (unsigned long)code);
        exercise("stack growth", do_grow, flags[i], 5, 6);
        // CPUID sets the four registers it always sets, as far as their patterns differ.
        exercise("cpuid", do_cpuid, flags[i], 0, 6);
    }
    flush();
    return 0;
}

asm(".globl _start\n_start:\n" STORE_ALL("first") "pushfq\n popq first+15*8\n fxsave first+128\n"
    "mov %ds, selectors\n mov %es, selectors+8\n mov %fs, selectors+16\n mov %gs, selectors+24\n"
    "mov %cs, selectors+32\n mov %ss, selectors+40\n"
    "mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
