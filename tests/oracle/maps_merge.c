// Neighbours with the same attributes become one mapping, and a change in the middle makes three of one.
#include "oracle.h"

int main(void) {
    begin();
    fresh(0, 2, RW);
    fresh(2, 2, RW);
    show_maps("two neighbours");
    TRY(mprotect(AT(1), PAGE, R));
    show_maps("a change in the middle");
    TRY(mprotect(AT(1), PAGE, RW));
    show_maps("and back");
    TRY(munmap(AT(2), PAGE));
    show_maps("a hole");
    fresh(2, 1, RW);
    show_maps("filled");
    TRY(mprotect(AT(0), PAGE, PROT_NONE));
    TRY(mprotect(AT(1), PAGE, PROT_NONE));
    show_maps("changed one after the other");
    clear();

    // Flags keep neighbours apart.
    fresh(0, 1, RW);
    PLACE(mmap(AT(1), PAGE, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0));
    PLACE(mmap(AT(2), PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    PLACE(mmap(AT(3), PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    show_maps("no reserve, and shared twice");
    clear();

    // What was faulted apart does not merge, what was faulted together does.
    fresh(0, 1, RW);
    fresh(3, 1, RW);
    WRITE(AT(0), 1);
    WRITE(AT(3), 1);
    fresh(1, 2, RW);
    show_maps("a bridge between two that were written apart");
    WRITE(AT(1), 1);
    clear();
    fresh(0, 3, RW);
    WRITE(AT(0), 1);
    WRITE(AT(2), 1);
    TRY(mprotect(AT(1), PAGE, R));
    TRY(mprotect(AT(1), PAGE, RW));
    show_maps("written together, split, and back");
    clear();

    // Read-only memory counts against no limit until it is made writable; then it stays counted.
    fresh(0, 3, R);
    TRY(mprotect(AT(1), PAGE, RW));
    WRITE(AT(1), 1);
    TRY(mprotect(AT(1), PAGE, R));
    show_maps("once writable");
    clear();

    // A file's neighbours merge where the offsets go on.
    int fd = scratch_file(6 * PAGE);
    PLACE(mmap(AT(0), PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, 0));
    PLACE(mmap(AT(1), PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, PAGE));
    PLACE(mmap(AT(2), PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, 3 * PAGE));
    PLACE(mmap(AT(3), PAGE, R, MAP_SHARED | MAP_FIXED, fd, 4 * PAGE));
    show_maps("pages of a file");
    TRY(munmap(AT(0), 4 * PAGE));
    show_maps("nothing");
    return end();
}
