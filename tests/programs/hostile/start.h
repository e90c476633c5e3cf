// The little that a program without a C library needs: a start, system calls, text. For programs built with -nostdlib.
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define PAGE 4096UL
#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_GROWSDOWN 0x100
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000

static inline long call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
    long result = number;
    asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

#define call0(n) call(n, 0, 0, 0, 0, 0, 0)
#define call1(n, a) call(n, (long)(a), 0, 0, 0, 0, 0)
#define call2(n, a, b) call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define call3(n, a, b, c) call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define call4(n, a, b, c, d) call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static inline _Noreturn void leave(int status) {
    for (;;) call1(SYS_exit_group, status);
}

static inline char *map_at(void *address, size_t length, int prot, int flags) {
    return (char *)call(SYS_mmap, (long)address, (long)length, prot, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static inline char *map(size_t length) {
    return map_at(NULL, length, PROT_READ | PROT_WRITE, 0);
}

static inline int same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

void *memset(void *to, int value, size_t count) {
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t count) {
    void *result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    return result;
}

// Output is gathered, so that it costs few system calls.
static char text[1 << 14];
static size_t filled;

static inline void flush(void) {
    call3(SYS_write, 1, text, filled);
    filled = 0;
}

static inline void say(const char *word) {
    while (*word) {
        if (filled == sizeof text) flush();
        text[filled++] = *word++;
    }
}

static inline void say_number(unsigned long number, unsigned base) {
    char digits[24];
    int at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = "0123456789abcdef"[number % base]; while (number /= base);
    say(digits + at);
}

static inline void say_signed(long number) {
    if (number < 0) say("-");
    say_number(number < 0 ? -(unsigned long)number : (unsigned long)number, 10);
}

int program(long argc, char **argv);

__attribute__((used)) static _Noreturn void begin(long *stack) {
    leave(program(stack[0], (char **)(stack + 1)));
}

#ifndef OWN_START
asm(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#endif
