// /proc/self/pagemap: present, file or anonymous, mapped once; by any offset, whole words only.
#include "oracle.h"

int main(void) {
    begin();
    fresh(0, 6, RW);
    show_pagemap("untouched", AT(0), 6);
    WRITE(AT(1), 1);
    READ(AT(2));
    WRITE(AT(3), 1);
    TRY(mprotect(AT(3), PAGE, PROT_NONE));
    show_pagemap("written, read, written and protected", AT(0), 6);
    WRITE(AT(2), 1);
    TRY(madvise(AT(1), PAGE, MADV_DONTNEED));
    show_pagemap("the zero page written, one given back", AT(0), 6);
    int memory = memfd_create("pagemap", 0);
    TRY(ftruncate(memory, 2 * PAGE));
    PLACE(mmap(AT(8), 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, memory, 0));
    PLACE(mmap(AT(10), 2 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, memory, 0));
    WRITE(AT(8), 1);
    show_pagemap("shared, written", AT(8), 4);
    WRITE(AT(10), 2);
    show_pagemap("a private copy", AT(8), 4);
    PLACE(mmap(AT(12), PAGE, RW, MAP_SHARED | MAP_FIXED, memory, 0));
    WRITE(AT(12), 1);
    show_pagemap("shared, mapped twice", AT(8), 5);
    // The file itself.
    int fd = open("/proc/self/pagemap", O_RDONLY);
    uint64_t words[4] = {1, 1, 1, 1};
    off_t at = WINDOW / PAGE * 8;
    TRY(pread(fd, words, 8, at));
    TRY(pread(fd, words, 24, at));
    TRY(pread(fd, words, 4, at));
    TRY(pread(fd, words, 12, at));
    TRY(pread(fd, words, 8, at + 4));
    TRY(pread(fd, words, 0, at));
    TRY(lseek(fd, at, SEEK_SET) == at);
    TRY(read(fd, words, 16));
    TRY(lseek(fd, 0, SEEK_CUR) - at);
    TRY(pread(fd, words, 8, (1ul << 57) / PAGE * 8));
    TRY(pread(fd, words, 8, (1ul << 47) / PAGE * 8 - 16));
    return end();
}
