// Random requests about memory, from a seed: mmap, munmap, mprotect, madvise, mincore and brk in and around a window, with
// lengths from nothing to wrapping around. Says what each answered, and what the window is in the end.
#include "start.h"

#define WINDOW 0x10010000UL
#define PAGES 64UL

static unsigned long state;

static unsigned long random_below(unsigned long bound) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (state >> 11) % bound;
}

static unsigned long address(void) {
    static const unsigned long far[] = {0, 1, 0x7ffffffff000, 0x800000000000, 0xffff888000000000, -PAGE, -1UL};
    unsigned long in = WINDOW + random_below(PAGES) * PAGE;
    switch (random_below(16)) {
    case 0: return in + 1 + random_below(PAGE - 1);
    case 1: return far[random_below(sizeof far / sizeof *far)];
    default: return in;
    }
}

// Bytes from an address that stay in the window, or that no range has.
static unsigned long length(unsigned long from) {
    static const unsigned long odd[] = {0, 1UL << 47, 1UL << 48, 1UL << 63, -PAGE, -1UL};
    unsigned long room = from >= WINDOW && from < WINDOW + PAGES * PAGE ? WINDOW + PAGES * PAGE - from : PAGE;
    if (!random_below(16)) return odd[random_below(sizeof odd / sizeof *odd)];
    unsigned long bytes = (1 + random_below(12)) * PAGE - (random_below(4) ? 0 : random_below(PAGE));
    return bytes < room ? bytes : room;
}

static void answer(char what, long result) {
    char name[3] = {what, ' ', 0};
    say(name);
    if (result < 0 && result > -4096) say_signed(result);
    else say_number(result, 16);
    say("\n");
}

// Whether a page can be read and written: system calls say it without a signal.
static int readable(char *page) {
    return call3(SYS_readlink, page, page, 0) != -14 && call4(SYS_newfstatat, -100, page, 0, 0) != -14;
}

static int writable(char *page) {
    return call2(SYS_clock_getres, 1, page) != -14;
}

static void step(char *heap) {
    unsigned long at = address(), bytes = length(at);
    int prot = random_below(8);
    // What may be executed only can be read or not, as the CPU has protection keys or not.
    if (prot == PROT_EXEC) prot |= PROT_READ;
    unsigned char resident[PAGES + 1];
    switch (random_below(8)) {
    case 0:
    case 1: {
        // Anywhere but in the window only what Linux would refuse.
        int fixed = at >= WINDOW && at < WINDOW + PAGES * PAGE ? random_below(2) ? MAP_FIXED : 0x100000 : MAP_FIXED;
        // Linux takes a fixed address that is no page's for an error number when it looks like one.
        if (at == -1UL || (at < PAGE * 16)) return;
        answer('m', (long)map_at((char *)at, bytes, prot, fixed));
        break;
    }
    case 2:
        if (at < WINDOW && bytes > PAGE * 16) return;
        answer('u', call2(SYS_munmap, at, bytes));
        break;
    case 3: answer('p', call3(SYS_mprotect, at, bytes, prot)); break;
    case 4:
        // Linux stops at its vvar pages, we at nothing.
        if (bytes >> 46 && at < 1UL << 47 && at + bytes > at) return;
        answer('d', call3(SYS_madvise, at, bytes, random_below(2) ? 4 : random_below(6)));
        break;
    case 5: {
        memset(resident, 7, sizeof resident);
        answer('c', call3(SYS_mincore, at, bytes, resident));
        for (unsigned long i = 0; i < sizeof resident; i++) {
            if (resident[i] != 7) say(resident[i] ? "1" : "0");
        }
        say("\n");
        break;
    }
    case 6: {
        static const long ends[] = {0, 1, PAGE, 3 * PAGE + 5, 20 * PAGE, 1L << 47, -1};
        long end = ends[random_below(sizeof ends / sizeof *ends)];
        answer('b', call1(SYS_brk, end >= 0 ? (long)heap + end : end) - (long)heap);
        break;
    }
    default:
        if (at < WINDOW || at >= WINDOW + PAGES * PAGE) return;
        answer('r', readable((char *)(at & -PAGE)));
        answer('w', writable((char *)(at & -PAGE)));
    }
}

int program(long argc, char **argv) {
    if (argc < 2) return 99;
    for (const char *digit = argv[1]; *digit; digit++) state = state * 10 + *digit - '0';
    state = state * 0x9e3779b97f4a7c15 + 1;
    char *heap = (char *)call1(SYS_brk, 0);
    for (int i = 0; i < 400; i++) step(heap);
    for (unsigned long i = 0; i < PAGES; i++) {
        char *page = (char *)WINDOW + i * PAGE;
        say(writable(page) ? "w" : readable(page) ? "r" : "-");
    }
    say("\n");
    flush();
    return 0;
}
