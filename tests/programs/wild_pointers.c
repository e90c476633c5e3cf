/* Makes system calls with pointers that lead nowhere: `wild_pointers OTHERS NUMBER:NAME...`. Each argument in turn gets
   each wild value, while the others get OTHERS; then all of them together. A line a call: what each answered. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARGUMENTS 6

int main(int argc, char **argv) {
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    /* At a fixed place, since some calls look at the low half of what they get only. */
    char *page = mmap((char *)0x123456000, 3 * 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    munmap(page + 8192, 4096);
    mprotect(page, 4096, PROT_READ);
    /* The kernel's, none at all twice, low, a hole, the last bytes before it, what cannot be written. */
    unsigned long wild[] = {0xffff888000100000, 0x800000000000, -1UL, 0x1008, (unsigned long)page + 8192,
                            (unsigned long)page + 8191, (unsigned long)page};
    unsigned values = sizeof wild / sizeof *wild;
    long others = argc > 1 ? atol(argv[1]) : 0;
    for (int i = 2; i < argc; i++) {
        long number = atol(argv[i]);
        printf("%s:", strchr(argv[i], ':') + 1);
        for (int position = 0; position <= ARGUMENTS; position++) {
            fputs(" ", stdout);
            for (unsigned value = 0; value < values; value++) {
                long a[ARGUMENTS];
                for (int k = 0; k < ARGUMENTS; k++)
                    a[k] = position == k || position == ARGUMENTS ? (long)wild[value] : others;
                long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
                printf("%s%s", value ? "," : "", result == -1 ? strerrorname_np(errno) : "ok");
            }
        }
        puts("");
    }
    fflush(stdout);
    return 55;
}
