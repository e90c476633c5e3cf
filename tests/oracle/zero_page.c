// A read of untouched memory maps the zero page: it counts for nothing until it is written.
#include "oracle.h"

static long anonymous(void) {
    char *block = smaps_of(AT(0));
    return block ? field_of(block, "Anonymous") : -1;
}

int main(void) {
    begin();
    fresh(0, 8, RW);
    for (int page = 0; page < 8; page++) (void)load(AT(page));
    show_pagemap("read", AT(0), 8);
    printf("anonymous: %ld\n", anonymous());
    WRITE(AT(3) + 9, 1);
    READ(AT(3) + 8);
    READ(AT(3) + 9);
    READ(AT(4) + 9);
    show_pagemap("one written", AT(0), 8);
    printf("anonymous: %ld\n", anonymous());
    TRY(mprotect(AT(0), 8 * PAGE, R));
    TRY(mprotect(AT(0), 8 * PAGE, RW));
    WRITE(AT(0), 2);
    READ(AT(1));
    show_pagemap("protected and back", AT(0), 8);
    // Moved and given back it stays the zero page.
    PLACE(mremap(AT(4), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20)));
    show_pagemap("moved", AT(20), 2);
    TRY(madvise(AT(20), PAGE, MADV_DONTNEED));
    show_pagemap("given back", AT(20), 2);
    // /dev/zero, privately mapped, is the same.
    int fd = open("/dev/zero", O_RDWR);
    PLACE(mmap(AT(30), 2 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
    READ(AT(30));
    WRITE(AT(31), 1);
    show_pagemap("/dev/zero", AT(30), 2);
    PLACE(mmap(AT(40), 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    WRITE(AT(40), 5);
    READ(AT(40));
    // The kernel reads untouched memory as zeros, too.
    int memory = memfd_create("zero", 0);
    char byte = 9;
    fresh(50, 1, RW);
    TRY(write(memory, AT(50), PAGE));
    TRY(pread(memory, &byte, 1, 100));
    printf("written: %d\n", byte);
    show_pagemap("read by the kernel", AT(50), 1);
    return end();
}
