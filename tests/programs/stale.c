// Takes rights and pages away from memory that was just used. A translation that outlives the change shows as a wrong
// byte, or as a program that goes on where it must die.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// More pages than are flushed one by one, but few enough to stay in a small TLB.
enum { PAGE = 4096, PAGES = 36, ROUNDS = 6 };

static volatile unsigned char *map(int protection) {
    void *area = mmap(NULL, PAGES * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return area;
}

static unsigned stale_bytes(void) {
    unsigned stale = 0;
    for (int round = 0; round < ROUNDS; round++) {
        volatile unsigned char *area = map(PROT_READ | PROT_WRITE);
        for (int i = 0; i < PAGES; i++) stale += area[i * PAGE] != 0;
        // The zero page must not stay behind what was read.
        for (int i = 0; i < PAGES; i++) area[i * PAGE] = i + 1;
        for (int i = 0; i < PAGES; i++) stale += area[i * PAGE] != i + 1;
        madvise((void *)area, PAGES * PAGE, MADV_DONTNEED);
        for (int i = 0; i < PAGES; i++) stale += area[i * PAGE] != 0;
        for (int i = 0; i < PAGES; i++) area[i * PAGE] = i + 1;
        mprotect((void *)area, PAGES * PAGE, PROT_READ);
        for (int i = 0; i < PAGES; i++) stale += area[i * PAGE] != i + 1;
        mprotect((void *)area, PAGES * PAGE, PROT_READ | PROT_WRITE);
        for (int i = 0; i < PAGES; i++) area[i * PAGE]++;
        mmap((void *)area, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        for (int i = 0; i < PAGES; i++) stale += area[i * PAGE] != 0;
        munmap((void *)area, PAGES * PAGE);
    }
    return stale;
}

// Takes something away from one page of an area of which all pages were used.
static void take(const char *how, volatile unsigned char *page) {
    if (!strcmp(how, "read-only")) mprotect((void *)page, PAGE, PROT_READ);
    if (!strcmp(how, "no-access")) mprotect((void *)page, PAGE, PROT_NONE);
    if (!strcmp(how, "no-execute")) mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE);
    if (!strcmp(how, "unmapped")) munmap((void *)page, PAGE);
    if (!strcmp(how, "discarded")) madvise((void *)page, PAGE, MADV_DONTNEED);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "bytes")) {
        printf("stale bytes: %u\n", stale_bytes());
        return 0;
    }
    if (!strcmp(how, "shrunk-heap")) {
        volatile unsigned char *heap = sbrk(8 * PAGE);
        heap[5 * PAGE] = 1;
        sbrk(-4 * PAGE);
        heap[5 * PAGE] = 2;
    }
    volatile unsigned char *area = map(PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < PAGES; i++) area[i * PAGE] = 0xc3; // ret
    // Rehearsed on other pages: the first time, the kernel touches new memory, and the host's faults empty the TLB.
    for (int i = 8; i < PAGES; i += 8) take(how, area + i * PAGE);
    ((void (*)(void))area)();
    area[0] = 0xc3;
    take(how, area);
    if (!strcmp(how, "discarded")) {
        printf("after discarding: %d\n", area[0]);
        return 0;
    } else if (!strcmp(how, "no-execute")) {
        ((void (*)(void))area)();
    } else if (!strcmp(how, "no-access")) {
        area[1] = area[0];
    } else {
        area[0] = 1;
    }
    printf("still alive\n");
    return 1;
}
