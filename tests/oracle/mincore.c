// mincore: which pages are there, of anonymous memory and of files, and every refusal.
#include "oracle.h"

int main(void) {
    begin();
    fresh(0, 6, RW);
    WRITE(AT(1), 1);
    READ(AT(3));
    show_mincore("one written, one read", AT(0), 6);
    show_mincore("a part", AT(1), 3);
    TRY(madvise(AT(1), PAGE, MADV_DONTNEED));
    show_mincore("one given back", AT(0), 6);
    TRY(mprotect(AT(3), PAGE, PROT_NONE));
    show_mincore("one protected", AT(0), 6);
    PLACE(mmap(AT(6), 2 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    show_mincore("shared, untouched", AT(6), 2);
    READ(AT(6));
    show_mincore("shared, read", AT(6), 2);
    int fd = memfd_create("mincore", 0);
    TRY(ftruncate(fd, 4 * PAGE));
    TRY(pwrite(fd, "x", 1, PAGE));
    PLACE(mmap(AT(8), 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    show_mincore("a memfd, one page written by write", AT(8), 4);
    WRITE(AT(10), 1);
    show_mincore("and one by a store", AT(8), 4);
    PLACE(mmap(AT(12), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
    show_mincore("the same, private", AT(12), 4);
    TRY(ftruncate(fd, PAGE));
    show_mincore("cut off", AT(8), 4);
    unsigned char answer[16];
    memset(answer, 9, sizeof answer);
    TRY(mincore(AT(0) + 1, PAGE, answer));
    TRY(mincore(AT(0), 0, answer));
    TRY(mincore(AT(30), PAGE, answer));
    TRY(mincore(AT(14), 4 * PAGE, answer));
    printf("before the hole: %d %d %d\n", answer[0], answer[1], answer[2]);
    TRY(mincore(AT(0), PAGE, NULL));
    TRY(mincore(AT(0), PAGE, (void *)-1));
    TRY(mincore(AT(0), -1, answer));
    TRY(mincore((void *)(1ul << 62), PAGE, answer));
    TRY(mincore(AT(0), 1, answer));
    return end();
}
