// RLIMIT_AS and RLIMIT_DATA stop mappings, growth and mprotect; what is there already stays.
#include "oracle.h"

static void limit(int which, long kilobytes) {
    struct rlimit limit;
    getrlimit(which, &limit);
    limit.rlim_cur = kilobytes * 1024;
    TRY(setrlimit(which, &limit));
}

int main(void) {
    begin();
    struct rlimit old, none = {RLIM_INFINITY, RLIM_INFINITY};
    TRY(getrlimit(RLIMIT_AS, &old));
    printf("as: %d, data: ", old.rlim_cur == RLIM_INFINITY);
    getrlimit(RLIMIT_DATA, &old);
    printf("%d\n", old.rlim_cur == RLIM_INFINITY);
    fresh(0, 4, RW);
    long size = status_field("VmSize");
    limit(RLIMIT_AS, size + 16);
    PLACE(mmap(AT(10), 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(20), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(20), PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(1), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(3), 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
    PLACE(mremap(AT(0), PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    PLACE(mremap(AT(10), 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(30)));
    PLACE(mremap(AT(30), 4 * PAGE, 5 * PAGE, 0));
    show_maps("at the limit");
    TRY(munmap(AT(31), PAGE));
    PLACE(mmap(AT(40), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    limit(RLIMIT_AS, 4);
    PLACE(mmap(AT(50), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    WRITE(AT(0), 1);
    void *now = sbrk(0);
    TRY(brk((char *)now + 64 * PAGE));
    TRY(setrlimit(RLIMIT_AS, &none));
    clear();

    // RLIMIT_DATA counts private writable memory only.
    long data = status_field("VmData");
    limit(RLIMIT_DATA, data + 16);
    PLACE(mmap(AT(0), 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(10), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(20), 4 * PAGE, R, ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(30), 4 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    TRY(mprotect(AT(20), PAGE, RW));
    TRY(mprotect(AT(0), PAGE, R));
    TRY(mprotect(AT(20), PAGE, RW));
    TRY(mprotect(AT(0), PAGE, RW));
    PLACE(mremap(AT(1), 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(40)));
    show_maps("at the limit");
    printf("VmData: %+ld\n", status_field("VmData") - data);
    now = sbrk(0);
    TRY(brk((char *)now + 64 * PAGE));
    // Refusals.
    struct rlimit bad = {2, 1};
    TRY(setrlimit(RLIMIT_AS, &bad));
    TRY(setrlimit(99, &none));
    TRY(getrlimit(99, &old));
    TRY(syscall(SYS_getrlimit, RLIMIT_AS, (void *)8));
    TRY(syscall(SYS_prlimit64, 0, RLIMIT_AS, NULL, &old));
    TRY(syscall(SYS_prlimit64, 0x3fffffff, RLIMIT_AS, NULL, &old));
    return end();
}
