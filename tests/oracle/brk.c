// brk: grow and shrink by bytes and pages, into what is mapped, over a hole, below the start, past RLIMIT_DATA.
#include "oracle.h"

static char *start;

static void to(const char *what, char *end) {
    char *got = (char *)syscall(SYS_brk, end);
    printf("%s: start+%lx\n", what, (unsigned long)(got - start));
}

#define TO(end) to(#end, (end))

int main(void) {
    begin();
    printf("brk\n");
    char *old = (char *)syscall(SYS_brk, 0);
    start = (char *)(((uintptr_t)old + PAGE - 1) & -PAGE);
    TO(start);
    TO(start + 1);
    WRITE(start, 1);
    printf("beyond: %s\n", load(start + PAGE) < 0 && caught.code == SEGV_MAPERR ? "nothing" : "something");
    TO(start + PAGE + 1);
    WRITE(start + PAGE, 2);
    TO(start + 4 * PAGE);
    WRITE(start + 3 * PAGE, 3);
    TO(start + PAGE);
    TO(start + 4 * PAGE);
    READ(start);
    READ(start + 3 * PAGE);
    TO(NULL);
    TO((char *)PAGE);
    TO((char *)-1);
    TO((char *)(1ul << 62));
    // Something stands in the way.
    char *wall = mmap(start + 8 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    printf("wall: %d\n", wall == start + 8 * PAGE);
    TO(start + 7 * PAGE);
    TO(start + 8 * PAGE);
    TO(start + 9 * PAGE);
    TO(start + 20 * PAGE);
    munmap(wall, PAGE);
    TO(start + 20 * PAGE);
    // A hole in the heap.
    TRY(munmap(start + 5 * PAGE, 2 * PAGE));
    TO(start + 6 * PAGE);
    TO(start + 4 * PAGE);
    TO(start + 8 * PAGE);
    TRY(munmap(start + 4 * PAGE, 4 * PAGE));
    TO(start + 6 * PAGE);
    TO(start + 4 * PAGE);
    TO(start + 9 * PAGE);
    // A part that is not writable does not stop it.
    TRY(mprotect(start, PAGE, R));
    TO(start + 10 * PAGE);
    WRITE(start + 9 * PAGE, 3);
    struct rlimit limit = {16 * PAGE, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_DATA, &limit));
    TO(start + 1000 * PAGE);
    return end();
}
