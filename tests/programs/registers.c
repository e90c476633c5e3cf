// What system calls and page faults must leave alone: the stack pointer, all registers, flags, SSE state, GS.
#define _GNU_SOURCE
#include <emmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 16, SAVED = 12 };

static char *map(void) {
    return mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long getpid_on_stack(uint64_t rsp) {
    long pid;
    __asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; mov %2, %%eax; syscall; mov %%rbx, %%rsp"
                     : "=&a"(pid) : "r"(rsp), "i"(SYS_getpid) : "rbx", "rcx", "r11", "memory");
    return pid;
}

// Fills every register that a system call keeps, calls, and returns which of them changed, one bit each.
static unsigned lost_registers(void) {
    uint64_t before[SAVED], after[SAVED];
    for (int i = 0; i < SAVED; i++) before[i] = 0x1111111111111111u * (i + 1);
    __asm__ volatile(
        "push %%rbp; push %%rbx; mov %0, %%rax; push %1;"
        "mov 0(%%rax), %%rbx; mov 8(%%rax), %%rbp; mov 16(%%rax), %%rdi; mov 24(%%rax), %%rsi;"
        "mov 32(%%rax), %%rdx; mov 40(%%rax), %%r8; mov 48(%%rax), %%r9; mov 56(%%rax), %%r10;"
        "mov 64(%%rax), %%r12; mov 72(%%rax), %%r13; mov 80(%%rax), %%r14; mov 88(%%rax), %%r15;"
        "mov %2, %%eax; syscall; pop %%rax;"
        "mov %%rbx, 0(%%rax); mov %%rbp, 8(%%rax); mov %%rdi, 16(%%rax); mov %%rsi, 24(%%rax);"
        "mov %%rdx, 32(%%rax); mov %%r8, 40(%%rax); mov %%r9, 48(%%rax); mov %%r10, 56(%%rax);"
        "mov %%r12, 64(%%rax); mov %%r13, 72(%%rax); mov %%r14, 80(%%rax); mov %%r15, 88(%%rax);"
        "pop %%rbx; pop %%rbp"
        :: "r"(before), "c"(after), "i"(SYS_getpid)
        : "rax", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    unsigned lost = 0;
    for (int i = 0; i < SAVED; i++) lost |= (before[i] != after[i]) << i;
    return lost;
}

// Flags of these that are still set after a system call.
static uint64_t flags_after_call(uint64_t flags) {
    uint64_t after;
    __asm__ volatile("pushfq; or %1, (%%rsp); popfq; mov %2, %%eax; syscall; pushfq; pop %0;"
                     "pushfq; not %1; and %1, (%%rsp); not %1; popfq"
                     : "=&b"(after), "+&d"(flags) : "i"(SYS_getpid) : "rax", "rcx", "r11", "memory", "cc");
    return after & flags;
}

// The same after a page fault at a page nobody has touched.
static uint64_t flags_after_fault(uint64_t flags, char *untouched) {
    uint64_t after;
    __asm__ volatile("pushfq; or %1, (%%rsp); popfq; movb $1, (%2); pushfq; pop %0;"
                     "pushfq; not %1; and %1, (%%rsp); not %1; popfq"
                     : "=&b"(after), "+&d"(flags) : "r"(untouched) : "memory", "cc");
    return after & flags;
}

static void vectors(void) {
    char *area = map();
    __m128i value = _mm_set1_epi64x(0x123456789abcdef0);
    for (int i = 0; i < PAGES; i++) {
        _mm_storeu_si128((__m128i *)(area + i * PAGE + 64), value);
        value = _mm_add_epi64(value, _mm_set1_epi64x(1));
    }
    uint64_t sum = 0, word;
    for (int i = 0; i < PAGES; i++) {
        memcpy(&word, area + i * PAGE + 72, sizeof word);
        sum += word;
    }
    printf("vectors: %lx\n", sum);
    area = map();
    _mm_storeu_si128((__m128i *)(area + PAGE - 8), value);
    memcpy(&word, area + PAGE, sizeof word);
    printf("split store: %lx\n", word);
}

int main(int argc, char **argv) {
    const uint64_t direction = 1 << 10, alignment = 1 << 18;
    if (argc > 1 && !strcmp(argv[1], "misaligned")) {
        printf("alignment checks on\n");
        fflush(stdout);
        __asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq; mov 1(%%rsp), %%eax" ::: "eax", "memory", "cc");
        printf("no alignment check\n");
        return 1;
    }
    long pid = getpid();
    printf("stack pointers: %d %d %d\n", getpid_on_stack(0) == pid, getpid_on_stack(0xffffffff80100000) == pid,
           getpid_on_stack(1ul << 63) == pid);
    printf("registers lost: %x\n", lost_registers());
    printf("flags after a call: %lx\n", flags_after_call(direction | alignment));
    printf("flags after a fault: %lx\n", flags_after_fault(direction | alignment, map()));
    vectors();
    uint64_t gs = 0x7000;
    __asm__ volatile("wrgsbase %0" :: "r"(gs));
    *map() = (char)getpid();
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    printf("gs base: %lx\n", gs);
    return 0;
}
