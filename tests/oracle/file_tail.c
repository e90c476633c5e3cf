// The tail of a file's last page reads as zeros, and what is written there does not reach the file.
#include "oracle.h"

static int sum(const char *from, size_t count) {
    int total = 0;
    while (count--) total += *from++;
    return total;
}

int main(void) {
    begin();
    int fd = scratch_file(PAGE + 100);
    char *shared = PLACE(mmap(AT(0), 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    char *private = PLACE(mmap(AT(4), 2 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
    READ(AT(1) + 99);
    READ(AT(1) + 100);
    TRY(sum(shared + PAGE + 100, PAGE - 100));
    TRY(sum(private + PAGE + 100, PAGE - 100));
    WRITE(AT(1) + 200, 5);
    READ(AT(1) + 200);
    READ(AT(5) + 200);
    char bytes[PAGE];
    TRY(pread(fd, bytes, PAGE, PAGE));
    TRY(pread(fd, bytes, PAGE, PAGE + 100));
    // Made longer, the new part is zeros.
    TRY(ftruncate(fd, PAGE + 150));
    READ(AT(1) + 120);
    TRY(pread(fd, bytes, PAGE, PAGE));
    TRY(sum(bytes + 100, 50));
    // Made shorter and longer again, what was cut off is zeros.
    TRY(ftruncate(fd, 50));
    READ(AT(0) + 49);
    READ(AT(0) + 50);
    READ(AT(1));
    TRY(ftruncate(fd, 2 * PAGE));
    READ(AT(0) + 60);
    READ(AT(1) + 99);
    // A private copy keeps its own.
    WRITE(AT(5), 77);
    TRY(ftruncate(fd, PAGE));
    READ(AT(5));
    TRY(ftruncate(fd, 2 * PAGE));
    READ(AT(5));
    WRITE(AT(4) + 1, 78);
    TRY(ftruncate(fd, PAGE / 2));
    READ(AT(4) + 1);
    READ(AT(4) + PAGE - 1);
    return end();
}
