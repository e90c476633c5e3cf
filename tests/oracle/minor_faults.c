// How many minor faults anonymous memory takes, by getrusage; huge pages are off.
#include "oracle.h"

static long before;

static void since(const char *what) {
    long now = minor_faults();
    printf("%s: %ld\n", what, now - before);
    before = minor_faults();
}

int main(void) {
    begin();
    volatile char *at = fresh(0, 64, RW);
    printf("faults\n");
    before = minor_faults();
    before = minor_faults();
    since("nothing");
    for (int page = 0; page < 16; page++) at[page * PAGE] = 1;
    since("16 pages written");
    for (int page = 0; page < 16; page++) at[page * PAGE + 9] = 2;
    since("written again");
    for (int page = 16; page < 32; page++) (void)at[page * PAGE];
    since("16 pages read");
    for (int page = 16; page < 32; page++) at[page * PAGE] = 1;
    since("and then written");
    mprotect((void *)at, 8 * PAGE, R);
    mprotect((void *)at, 8 * PAGE, RW);
    since("protected and back");
    for (int page = 0; page < 8; page++) at[page * PAGE] = 3;
    since("written after that");
    madvise((void *)at, 8 * PAGE, MADV_DONTNEED);
    for (int page = 0; page < 8; page++) at[page * PAGE] = 3;
    since("given back and written");
    mmap(AT(100), 16 * PAGE, RW, ANON | MAP_FIXED | MAP_POPULATE, -1, 0);
    since("16 pages populated");
    for (int page = 100; page < 116; page++) *AT(page) = 3;
    since("written");
    mmap(AT(100), 16 * PAGE, R, ANON | MAP_FIXED | MAP_POPULATE, -1, 0);
    since("16 read-only pages populated");
    fresh(200, 8, RW);
    mlock(AT(200), 8 * PAGE);
    since("8 pages locked");
    mremap((void *)at, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(300));
    for (int page = 300; page < 316; page++) *AT(page) = 3;
    since("16 pages moved and written");
    madvise(AT(300), 4 * PAGE, MADV_FREE);
    for (int page = 300; page < 304; page++) *AT(page) = 3;
    since("4 lazily freed pages written");
    int fd = open("/dev/zero", O_RDONLY);
    if (read(fd, fresh(400, 4, RW), 4 * PAGE) != (ssize_t)(4 * PAGE)) printf("a short read\n");
    since("4 pages written by the kernel");
    return end();
}
