// Jumps to the address that LSTAR holds, where `syscall` goes: kernel_entry ADDRESS RCX R11 NUMBER, in hexadecimal;
// RCX may be "next" for the instruction behind the jump, R11 "flags" for the flags as they are.
#include "start.h"

static unsigned long number(const char *digits) {
    unsigned long value = 0;
    for (; *digits; digits++) value = value << 4 | (*digits <= '9' ? *digits - '0' : *digits - 'a' + 10);
    return value;
}

__attribute__((naked)) static void jump(unsigned long entry, unsigned long rcx, unsigned long r11, unsigned long nr) {
    (void)entry, (void)rcx, (void)r11, (void)nr;
    asm("mov %rdx, %r11\n mov %rcx, %rax\n mov %rsi, %rcx\n mov %rdi, %rbx\n mov $9, %edi\n"
        "cmp $1, %rcx\n jne 1f\n lea 3f(%rip), %rcx\n"
        "1: cmp $1, %r11\n jne 2f\n pushfq\n pop %r11\n"
        "2: jmp *%rbx\n"
        "3: mov $231, %eax\n mov $78, %edi\n syscall\n");
}

int program(long argc, char **argv) {
    if (argc < 5) return 99;
    unsigned long rcx = same(argv[2], "next") ? 1 : number(argv[2]);
    unsigned long r11 = same(argv[3], "flags") ? 1 : number(argv[3]);
    jump(number(argv[1]), rcx, r11, number(argv[4]));
    return 77;
}
