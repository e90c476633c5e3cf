// A private mapping of a file: its own copy of a page at the first write, the file's page until then.
#include "oracle.h"

int main(void) {
    begin();
    int fd = scratch_file(4 * PAGE);
    char byte = 0;
    PLACE(mmap(AT(0), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
    PLACE(mmap(AT(8), 4 * PAGE, R, MAP_SHARED | MAP_FIXED, fd, 0));
    READ(AT(0));
    WRITE(AT(0) + 1, 'Z');
    READ(AT(0));
    READ(AT(0) + 1);
    READ(AT(8) + 1);
    TRY(pread(fd, &byte, 1, 1));
    printf("the file's: %c\n", byte);
    // What is written to the file shows where there is no copy.
    TRY(pwrite(fd, "12", 2, 1));
    TRY(pwrite(fd, "34", 2, PAGE));
    READ(AT(0) + 2);
    READ(AT(1));
    READ(AT(8) + 2);
    WRITE(AT(2), 'Y');
    TRY(pwrite(fd, "56", 2, 2 * PAGE));
    READ(AT(2));
    READ(AT(2) + 1);
    READ(AT(10));
    // Given back, the copy goes and the file's page comes again.
    TRY(madvise(AT(0), 4 * PAGE, MADV_DONTNEED));
    READ(AT(0) + 1);
    READ(AT(2));
    // Rights: copy on write follows mprotect.
    TRY(mprotect(AT(3), PAGE, R));
    WRITE(AT(3), 1);
    TRY(mprotect(AT(3), PAGE, RW));
    WRITE(AT(3), 'X');
    READ(AT(3));
    READ(AT(11));
    WRITE(AT(8), 1);
    // Split and moved, pages keep their place in the file.
    PLACE(mremap(AT(1), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20)));
    READ(AT(20));
    READ(AT(21) + 1);
    PLACE(mremap(AT(20), 2 * PAGE, 4 * PAGE, 0));
    READ(AT(22));
    READ(AT(23));
    show_maps("at the end");
    char *block = smaps_of(AT(3));
    printf("anonymous: %ld\n", block ? field_of(block, "Anonymous") : -1);
    return end();
}
