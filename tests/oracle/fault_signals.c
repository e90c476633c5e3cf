// SIGSEGV and SIGBUS: si_code and si_addr for every way to touch what is not there or not allowed.
#include "oracle.h"

int main(void) {
    begin();
    READ(AT(0));
    WRITE(AT(0) + 5, 1);
    JUMP(AT(0) + 8);
    fresh(0, 1, R);
    READ(AT(0));
    WRITE(AT(0) + 100, 1);
    JUMP(AT(0) + 16);
    fresh(1, 1, PROT_NONE);
    READ(AT(1));
    WRITE(AT(1) + 4095, 1);
    JUMP(AT(1));
    fresh(2, 1, W);
    READ(AT(2));
    WRITE(AT(2), 1);
    char *code = fresh(3, 1, RW);
    code[0] = (char)0xc3;
    JUMP(AT(3));
    TRY(mprotect(AT(3), PAGE, R | PROT_EXEC));
    JUMP(AT(3));
    WRITE(AT(3), 1);
    // Around the end of the lower half, and where no address is canonical.
    READ((char *)0);
    READ((char *)0xfff);
    WRITE((char *)0x7ffffffff000, 1);
    READ((char *)0x4000000000000000);
    READ((char *)0xffff800000000000);
    WRITE((char *)0xffffffff80000000, 1);
    READ((char *)-1);
    JUMP((void *)0);
    // A touch that runs into the next page names the first byte that is not there.
    volatile uint64_t *across = (void *)(AT(2) + PAGE - 4);
    TRY(munmap(AT(3), PAGE));
    caught.number = 0;
    uint64_t value = 7;
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rax, %0\n\tmovq (%2), %1\n1:" : "=m"(resume_at), "+r"(value) : "r"(across) : "rax", "memory");
    resume_at = NULL;
    printf("across: %s, value %lu\n", caught.number ? signal_text() : "done", value);
    // Beyond the end of a file.
    int fd = scratch_file(PAGE + 10);
    PLACE(mmap(AT(8), 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    PLACE(mmap(AT(12), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
    READ(AT(9) + 9);
    READ(AT(9) + 10);
    READ(AT(10));
    WRITE(AT(11) + 3, 1);
    READ(AT(14));
    WRITE(AT(14) + 77, 1);
    TRY(ftruncate(fd, 0));
    READ(AT(8));
    READ(AT(12));
    TRY(ftruncate(fd, 3 * PAGE));
    READ(AT(10));
    READ(AT(14));
    // The handler may mend what was missing.
    TRY(munmap(AT(0), 20 * PAGE));
    READ(AT(12));
    return end();
}
