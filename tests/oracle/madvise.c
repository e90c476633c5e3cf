// madvise: what each advice does to pages and mappings, and what is refused.
#include "oracle.h"

int main(void) {
    begin();
    fresh(0, 8, RW);
    for (int page = 0; page < 8; page++) store(AT(page), 1 + page);
    TRY(madvise(AT(2), 2 * PAGE, MADV_DONTNEED));
    show_pagemap("two given back", AT(0), 8);
    READ(AT(2));
    READ(AT(4));
    TRY(madvise(AT(2), 2 * PAGE, MADV_RANDOM));
    show_maps("random in the middle");
    TRY(madvise(AT(0), 8 * PAGE, MADV_SEQUENTIAL));
    show_maps("sequential");
    TRY(madvise(AT(0), 2 * PAGE, MADV_NORMAL));
    show_maps("half normal");
    TRY(madvise(AT(0), 8 * PAGE, MADV_NORMAL));
    TRY(madvise(AT(1), PAGE, MADV_DONTFORK));
    TRY(madvise(AT(2), PAGE, MADV_DONTDUMP));
    TRY(madvise(AT(3), PAGE, MADV_WIPEONFORK));
    show_maps("three flags");
    TRY(madvise(AT(0), 8 * PAGE, MADV_DOFORK));
    TRY(madvise(AT(0), 8 * PAGE, MADV_DODUMP));
    TRY(madvise(AT(0), 8 * PAGE, MADV_KEEPONFORK));
    show_maps("and back");
    TRY(madvise(AT(0), 8 * PAGE, MADV_WILLNEED));
    TRY(madvise(AT(0), 8 * PAGE, MADV_COLD));
    TRY(madvise(AT(4), PAGE, MADV_FREE));
    READ(AT(4));
    WRITE(AT(4), 99);
    READ(AT(4));
    TRY(madvise(AT(2), 2 * PAGE, MADV_POPULATE_READ));
    show_pagemap("populated for reading", AT(0), 8);
    TRY(madvise(AT(2), 2 * PAGE, MADV_POPULATE_WRITE));
    show_pagemap("populated for writing", AT(0), 8);
    clear();

    // Holes: what is there is advised, and the answer is ENOMEM.
    fresh(0, 1, RW);
    fresh(2, 1, RW);
    WRITE(AT(0), 1);
    WRITE(AT(2), 1);
    TRY(madvise(AT(0), 3 * PAGE, MADV_DONTNEED));
    show_pagemap("over a hole", AT(0), 3);
    TRY(madvise(AT(1), PAGE, MADV_DONTNEED));
    TRY(madvise(AT(0), 3 * PAGE, MADV_RANDOM));
    TRY(madvise(AT(0), 3 * PAGE, MADV_POPULATE_READ));
    fresh(4, 1, PROT_NONE);
    TRY(madvise(AT(4), PAGE, MADV_POPULATE_READ));
    fresh(5, 1, R);
    TRY(madvise(AT(5), PAGE, MADV_POPULATE_WRITE));
    TRY(madvise(AT(0) + 1, PAGE, MADV_DONTNEED));
    TRY(madvise(AT(0), 0, MADV_DONTNEED));
    TRY(madvise(AT(100), 0, MADV_DONTNEED));
    TRY(madvise(AT(0), -1, MADV_DONTNEED));
    TRY(madvise(AT(0), -PAGE, MADV_DONTNEED));
    TRY(madvise(AT(0), 1, MADV_DONTNEED));
    TRY(madvise(AT(0), PAGE, 7));
    TRY(madvise(AT(0), PAGE, 99));
    TRY(madvise(AT(100), PAGE, 99));
    TRY(madvise(AT(0), PAGE, -1));
    clear();

    // Files and shared memory.
    int memory = memfd_create("madvise", 0);
    TRY(ftruncate(memory, 4 * PAGE));
    PLACE(mmap(AT(0), 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, memory, 0));
    for (int page = 0; page < 4; page++) store(AT(page), 11 + page);
    TRY(madvise(AT(0), PAGE, MADV_DONTNEED));
    READ(AT(0));
    TRY(madvise(AT(1), PAGE, MADV_REMOVE));
    READ(AT(1));
    TRY(madvise(AT(2), PAGE, MADV_FREE));
    TRY(madvise(AT(2), PAGE, MADV_WIPEONFORK));
    char byte = 9;
    TRY(pread(memory, &byte, 1, PAGE));
    printf("the removed page: %d\n", byte);
    PLACE(mmap(AT(8), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, memory, 0));
    WRITE(AT(8), 50);
    WRITE(AT(10), 51);
    TRY(madvise(AT(8), 4 * PAGE, MADV_DONTNEED));
    READ(AT(8));
    READ(AT(10));
    TRY(madvise(AT(8), PAGE, MADV_REMOVE));
    TRY(madvise(AT(8), PAGE, MADV_FREE));
    TRY(mprotect(AT(0), PAGE, R));
    TRY(madvise(AT(0), PAGE, MADV_REMOVE));
    fresh(20, 1, RW);
    TRY(madvise(AT(20), PAGE, MADV_REMOVE));
    TRY(mlock(AT(20), PAGE));
    TRY(madvise(AT(20), PAGE, MADV_DONTNEED));
    TRY(madvise(AT(20), PAGE, 24));
    show_pagemap("locked and given back", AT(20), 1);
    TRY(madvise(AT(20), PAGE, MADV_COLD));
    return end();
}
