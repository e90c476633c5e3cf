// Says that it is there, and then never ends. With an argument it touches fresh memory all the time, so that it is as
// likely to be found in a fault as in its own code.
#include <stdio.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
    (void)argv;
    puts("spinning");
    fflush(stdout);
    enum { PAGES = 256 };
    volatile char *area = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (;;) {
        if (argc < 2) continue;
        for (int i = 0; i < PAGES; i++) area[i * 4096] = 1;
        madvise((void *)area, PAGES * 4096, MADV_DONTNEED);
    }
}
