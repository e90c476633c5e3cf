// msync: a shared mapping reaches the file, and every refusal.
#include "oracle.h"

int main(void) {
    begin();
    int fd = scratch_file(3 * PAGE);
    char byte = 0;
    PLACE(mmap(AT(0), 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    WRITE(AT(1) + 7, 'x');
    TRY(pread(fd, &byte, 1, PAGE + 7));
    printf("before: %c\n", byte);
    TRY(msync(AT(0), 3 * PAGE, MS_SYNC));
    TRY(msync(AT(0), 3 * PAGE, MS_ASYNC));
    TRY(msync(AT(0), 3 * PAGE, MS_INVALIDATE));
    TRY(msync(AT(0), 3 * PAGE, MS_SYNC | MS_INVALIDATE));
    TRY(pwrite(fd, "y", 1, 2 * PAGE));
    READ(AT(2));
    TRY(msync(AT(0), 3 * PAGE, MS_SYNC | MS_ASYNC));
    TRY(msync(AT(0), 3 * PAGE, 8));
    TRY(msync(AT(0), 3 * PAGE, 0));
    TRY(msync(AT(0) + 1, PAGE, MS_SYNC));
    TRY(msync(AT(0), 1, MS_SYNC));
    TRY(msync(AT(0), 0, MS_SYNC));
    TRY(msync(AT(50), 0, MS_SYNC));
    TRY(msync(AT(50), PAGE, MS_SYNC));
    TRY(msync(AT(50), PAGE, MS_ASYNC));
    TRY(msync(AT(2), 3 * PAGE, MS_SYNC));
    TRY(msync(AT(0), -PAGE, MS_SYNC));
    TRY(msync(AT(0), -1, MS_SYNC));
    fresh(3, 1, RW);
    fresh(4, 1, PROT_NONE);
    TRY(msync(AT(2), 3 * PAGE, MS_SYNC));
    TRY(mlock(AT(3), PAGE));
    TRY(msync(AT(2), 3 * PAGE, MS_INVALIDATE));
    return end();
}
