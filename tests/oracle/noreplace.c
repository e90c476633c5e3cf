// MAP_FIXED_NOREPLACE: EEXIST over anything, otherwise as MAP_FIXED; and what becomes of a hint.
#include "oracle.h"

int main(void) {
    begin();
    fresh(2, 2, RW);
    WRITE(AT(2), 3);
    PLACE(mmap(AT(0), 3 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    PLACE(mmap(AT(3), 3 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    PLACE(mmap(AT(2), 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    PLACE(mmap(AT(1), 4 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE | MAP_FIXED, -1, 0));
    READ(AT(2));
    PLACE(mmap(AT(0), 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    PLACE(mmap(AT(4), PAGE, R, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    show_maps("filled");
    PLACE(mmap(AT(8) + 1, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    PLACE(mmap(AT(8), 0, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    PLACE(mmap((void *)(1ul << 62), PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    // Hints.
    char *got = PLACE(mmap(AT(10) + 17, PAGE, RW, ANON, -1, 0));
    READ(got);
    PLACE(mmap(AT(10), PAGE, RW, ANON, -1, 0));
    PLACE(mmap(AT(9), 2 * PAGE, RW, ANON, -1, 0));
    PLACE(mmap(AT(11), PAGE, R, ANON, -1, 0));
    PLACE(mmap(AT(0), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    READ(AT(2));
    show_maps("at the end");
    return end();
}
