// memfd_create and shared mappings: two views of the same memory, holes, lengths, seals, and shared anonymous memory.
#include "oracle.h"

int main(void) {
    begin();
    int fd = memfd_create("shared", 0);
    char bytes[16] = "";
    TRY(lseek(fd, 0, SEEK_END));
    PLACE(mmap(AT(0), 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    READ(AT(0));
    TRY(ftruncate(fd, 2 * PAGE + 5));
    READ(AT(0));
    WRITE(AT(1), 42);
    PLACE(mmap(AT(4), 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    READ(AT(5));
    WRITE(AT(5) + 1, 43);
    READ(AT(1) + 1);
    PLACE(mmap(AT(8), 2 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, PAGE));
    READ(AT(8) + 1);
    WRITE(AT(8) + 1, 44);
    READ(AT(1) + 1);
    WRITE(AT(1) + 2, 45);
    READ(AT(8) + 2);
    TRY(pread(fd, bytes, 4, PAGE));
    printf("read: %d %d %d %d\n", bytes[0], bytes[1], bytes[2], bytes[3]);
    TRY(pwrite(fd, "abc", 3, PAGE + 100));
    READ(AT(5) + 101);
    TRY(pwrite(fd, "tail", 4, 2 * PAGE + 3));
    TRY(lseek(fd, 0, SEEK_END));
    READ(AT(6) + 6);
    READ(AT(6) + 7);
    show_maps("three views");
    // The mapping stays when the descriptor goes.
    int other = dup(fd);
    TRY(close(fd));
    READ(AT(5));
    TRY(ftruncate(other, PAGE));
    READ(AT(5));
    READ(AT(4));
    TRY(close(other));
    WRITE(AT(4) + 9, 9);
    READ(AT(0) + 9);
    TRY(ftruncate(other, PAGE));
    clear();

    // Shared anonymous memory is a file of its own.
    PLACE(mmap(AT(0), 2 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    WRITE(AT(0), 1);
    TRY(madvise(AT(0), PAGE, MADV_DONTNEED));
    READ(AT(0));
    TRY(mprotect(AT(0), PAGE, R));
    WRITE(AT(0), 2);
    show_maps("shared anonymous");
    PLACE(mremap(AT(0), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(5)));
    READ(AT(5));
    PLACE(mremap(AT(1), PAGE, 3 * PAGE, MREMAP_MAYMOVE));
    PLACE(mmap(AT(8), PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    PLACE(mremap(AT(8), PAGE, 3 * PAGE, 0));
    READ(AT(8));
    READ(AT(9));
    clear();

    // Refusals.
    TRY(memfd_create("x", 0x100) >= 0);
    TRY(memfd_create(NULL, 0));
    fd = memfd_create("y", MFD_CLOEXEC);
    TRY(fcntl(fd, F_GETFD));
    TRY(ftruncate(fd, -1));
    TRY(ftruncate(fd, 100));
    PLACE(mmap(AT(0), PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 1));
    PLACE(mmap(AT(0), PAGE, RW, MAP_SHARED | MAP_FIXED, 999, 0));
    PLACE(mmap(AT(0), PAGE, RW, MAP_FIXED, fd, 0));
    PLACE(mmap(AT(0), PAGE, RW, MAP_SHARED_VALIDATE | MAP_FIXED | 0x8000000, fd, 0));
    PLACE(mmap(AT(0), PAGE, RW, MAP_SHARED | MAP_FIXED, fd, -PAGE));
    PLACE(mmap(AT(0), PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 1ul << 50));
    READ(AT(0));
    int ends[2];
    TRY(pipe(ends));
    PLACE(mmap(AT(4), PAGE, R, MAP_PRIVATE | MAP_FIXED, ends[0], 0));
    PLACE(mmap(AT(4), PAGE, R, MAP_PRIVATE | MAP_FIXED, ends[1], 0));
    return end();
}
