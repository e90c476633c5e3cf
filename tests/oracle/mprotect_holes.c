// mprotect over several mappings and over a hole: what lies before the hole has changed.
#include "oracle.h"

int main(void) {
    begin();
    fresh(0, 2, RW);
    fresh(3, 2, RW);
    WRITE(AT(0), 1);
    TRY(mprotect(AT(0), 5 * PAGE, R));
    show_maps("after a hole");
    WRITE(AT(0), 2);
    WRITE(AT(3), 2);
    TRY(mprotect(AT(2), 2 * PAGE, R));
    show_maps("begun in the hole");
    TRY(mprotect(AT(0), 3 * PAGE, PROT_NONE));
    READ(AT(0));
    show_maps("ended in the hole");
    TRY(mprotect(AT(0), 0, RW));
    TRY(mprotect(AT(100), 0, RW));
    TRY(mprotect(AT(0) + 1, PAGE, RW));
    TRY(mprotect(AT(0), 1, RW));
    READ(AT(0));
    show_maps("one byte");
    clear();

    // Across mappings of several kinds.
    int fd = scratch_file(4 * PAGE), readonly;
    fresh(0, 1, RW);
    PLACE(mmap(AT(1), PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    PLACE(mmap(AT(2), PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, PAGE));
    TRY(mprotect(AT(0), 3 * PAGE, PROT_READ | PROT_EXEC));
    show_maps("three kinds");
    TRY(mprotect(AT(0), 3 * PAGE, RW));
    WRITE(AT(2), 7);
    show_maps("three kinds, writable");
    clear();

    // A file that is open for reading only cannot become writable where it is shared.
    close(fd);
    fd = open("both", O_RDWR | O_CREAT, 0600);
    TRY(ftruncate(fd, 4 * PAGE));
    readonly = open("both", O_RDONLY);
    unlink("both");
    PLACE(mmap(AT(0), PAGE, RW, MAP_SHARED | MAP_FIXED, readonly, 0));
    PLACE(mmap(AT(0), PAGE, R, MAP_SHARED | MAP_FIXED, readonly, 0));
    fresh(1, 1, R);
    PLACE(mmap(AT(2), PAGE, RW, MAP_PRIVATE | MAP_FIXED, readonly, 0));
    TRY(mprotect(AT(0), 3 * PAGE, RW));
    show_maps("shared for reading only");
    TRY(mprotect(AT(1), 2 * PAGE, RW));
    WRITE(AT(2), 1);
    READ(AT(0));

    // PROT_GROWSDOWN and PROT_GROWSUP.
    TRY(mprotect(AT(1), PAGE, R | PROT_GROWSDOWN));
    TRY(mprotect(AT(1), PAGE, R | PROT_GROWSUP));
    TRY(mprotect(AT(1), PAGE, R | PROT_GROWSUP | PROT_GROWSDOWN));
    TRY(mprotect(AT(1), PAGE, 0x40));
    PLACE(mmap(AT(20), 4 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    TRY(mprotect(AT(22), PAGE, R | PROT_GROWSDOWN));
    show_maps("down to the start");
    return end();
}
