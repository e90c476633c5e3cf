// The stack grows at a touch, up to its limit, and VmStk tells so.
#include "oracle.h"

int main(void) {
    begin();
    struct rlimit limit;
    TRY(getrlimit(RLIMIT_STACK, &limit));
    limit.rlim_cur = 8 << 20;
    TRY(setrlimit(RLIMIT_STACK, &limit));
    char here;
    char *top = (char *)((uintptr_t)&here & -PAGE);
    // Far below, but within the limit.
    long before = status_field("VmStk");
    WRITE(top - 200 * PAGE, 1);
    READ(top - 200 * PAGE);
    READ(top - 150 * PAGE);
    long grown = status_field("VmStk") - before;
    printf("grown by 150 pages at least, by 200 at most: %d\n", grown >= 600 && grown <= 800);
    WRITE(top - 1000 * PAGE, 1);
    printf("beyond the limit: %s\n", store(top - 2100 * PAGE, 1) ? "SIGSEGV" : "done");
    printf("code: %d, address %s\n", caught.code, caught.address == (uintptr_t)top - 2100 * PAGE ? "right" : "wrong");
    // A lower limit counts at once.
    limit.rlim_cur = 5 << 20;
    TRY(setrlimit(RLIMIT_STACK, &limit));
    printf("within the new limit: %s\n", store(top - 1200 * PAGE, 1) ? "SIGSEGV" : "done");
    printf("beyond the new limit: %s\n", store(top - 1400 * PAGE, 1) ? "SIGSEGV" : "done");
    limit.rlim_cur = 6 << 20;
    TRY(setrlimit(RLIMIT_STACK, &limit));
    printf("after a raise: %s\n", store(top - 1400 * PAGE, 1) ? "SIGSEGV" : "done");
    // A mapping in the way, and the gap before it.
    char *wall = top - 1470 * PAGE;
    printf("wall: %d\n", mmap(wall, PAGE, RW, ANON | MAP_FIXED, -1, 0) == wall);
    printf("just above it: %s\n", store(wall + 2 * PAGE, 1) ? "SIGSEGV" : "done");
    TRY(mprotect(wall, PAGE, PROT_NONE));
    printf("above PROT_NONE: %s\n", store(wall + 2 * PAGE, 1) ? "SIGSEGV" : "done");
    return end();
}
