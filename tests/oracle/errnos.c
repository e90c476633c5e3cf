// The errno table: every memory call with a grid of bad and good arguments.
#include "oracle.h"

static const struct {
    const char *name;
    uintptr_t at;
} PLACES[] = {
    {"0", 0}, {"page 1", PAGE}, {"mapped", WINDOW}, {"mapped+1", WINDOW + 1}, {"read-only", WINDOW + 4 * PAGE},
    {"no access", WINDOW + 6 * PAGE}, {"before a hole", WINDOW + 7 * PAGE}, {"hole", WINDOW + 8 * PAGE},
    {"shared", WINDOW + 12 * PAGE}, {"file", WINDOW + 16 * PAGE}, {"kernel", 0xffff888000000000}, {"-page", -PAGE},
    {"not canonical", 1ul << 62},
};
static const struct {
    const char *name;
    size_t length;
} LENGTHS[] = {{"0", 0}, {"1", 1}, {"1 page", PAGE}, {"3 pages", 3 * PAGE}, {"2^62", 1ul << 62}, {"-page", -PAGE}, {"-1", -1ul}};
#define COUNT(table) (sizeof table / sizeof *table)

static void scene(void) {
    clear();
    fresh(0, 4, RW);
    fresh(4, 2, R);
    fresh(6, 2, PROT_NONE);
    mmap(AT(12), 4 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0);
    static int fd = -1;
    if (fd < 0) fd = scratch_file(4 * PAGE);
    mmap(AT(16), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0);
}

// A result as one word.
static void word(long result) {
    if (result == -1) {
        printf(" %s", strerrorname_np(errno));
    } else if (result == 0) {
        printf(" 0");
    } else if (result >= (long)WINDOW && result <= (long)(WINDOW + WINDOW_SIZE)) {
        printf(" w+%lx", result - WINDOW);
    } else {
        printf(" done");
    }
}

static long call(int number, uintptr_t at, size_t length) {
    static unsigned char vector[16];
    switch (number) {
    case 0: return syscall(SYS_munmap, at, length);
    case 1: return syscall(SYS_mprotect, at, length, RW);
    case 2: return syscall(SYS_mprotect, at, length, 0x100);
    case 3: return syscall(SYS_madvise, at, length, MADV_DONTNEED);
    case 4: return syscall(SYS_madvise, at, length, MADV_NORMAL);
    case 5: return syscall(SYS_madvise, at, length, 77);
    case 6: return length > 16 * PAGE ? syscall(SYS_mincore, at, length, 0) : syscall(SYS_mincore, at, length, vector);
    case 7: return syscall(SYS_msync, at, length, MS_SYNC);
    case 8: return syscall(SYS_msync, at, length, MS_INVALIDATE);
    case 9: return syscall(SYS_mlock, at, length);
    case 10: return syscall(SYS_munlock, at, length);
    case 11: return syscall(SYS_mremap, at, length, length, 0, 0);
    case 12: return syscall(SYS_mremap, at, length, 2 * PAGE, 0, 0);
    case 13: return syscall(SYS_mremap, at, PAGE, length, 0, 0);
    case 14: return syscall(SYS_mremap, WINDOW, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);
    case 15: return syscall(SYS_mmap, at, length, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    case 16: return syscall(SYS_mmap, at, length, RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    case 17: return syscall(SYS_mmap, at, length, RW, MAP_PRIVATE | MAP_FIXED, -1, 0);
    default: return syscall(SYS_mlock2, at, length, 4);
    }
}

static const char *const CALLS[] = {
    "munmap", "mprotect", "mprotect 100", "madvise DONTNEED", "madvise NORMAL", "madvise 77", "mincore", "msync SYNC",
    "msync INVALIDATE", "mlock", "munlock", "mremap same", "mremap to 2 pages", "mremap 1 page to", "mremap onto",
    "mmap NOREPLACE", "mmap no kind", "mmap bad fd", "mlock2 4",
};

int main(void) {
    begin();
    for (size_t number = 0; number < COUNT(CALLS); number++) {
        for (size_t where = 0; where < COUNT(PLACES); where++) {
            printf("%s, %s:", CALLS[number], PLACES[where].name);
            scene();
            for (size_t length = 0; length < COUNT(LENGTHS); length++) {
                // This would give back the program's own stack.
                if (!strcmp(CALLS[number], "madvise DONTNEED") && LENGTHS[length].length > 16 * PAGE) {
                    printf(" -");
                    continue;
                }
                // Whether low addresses may be mapped depends on who asks.
                if (number >= 14 && number <= 16 && PLACES[where].at <= PAGE) {
                    printf(" -");
                    continue;
                }
                long result = call(number, PLACES[where].at, LENGTHS[length].length);
                word(result);
                // What unmaps, moves or maps changes the next answers.
                if (result != -1 && (number == 0 || (number >= 11 && number <= 16))) scene();
            }
            printf("\n");
        }
    }
    // Arguments that are no range.
    scene();
    for (unsigned bit = 0; bit < 32; bit++) {
        printf("mmap with flag %x:", 1u << bit);
        errno = 0;
        // Huge pages are left out: they depend on what the machine has set aside.
        if (1u << bit == MAP_HUGETLB) {
            printf(" left out\n");
            continue;
        }
        word((long)mmap(AT(30), PAGE, RW, ANON | MAP_FIXED | 1u << bit, -1, 0));
        printf("\n");
    }
    for (unsigned rights = 0; rights < 16; rights++) {
        printf("mmap with rights %x:", rights);
        word((long)mmap(AT(30), PAGE, rights, ANON | MAP_FIXED, -1, 0));
        printf(" mprotect:");
        word(mprotect(AT(30), PAGE, rights));
        printf("\n");
    }
    for (int advice = -1; advice <= 26; advice++) {
        // Poisoning (100, 101) and what depends on Linux's configuration (KSM: 12, 13; huge pages: 14, 15, 25) are left out.
        if (advice == 12 || advice == 13 || advice == 14 || advice == 15 || advice == 25 || advice == 21) continue;
        printf("madvise %d:", advice);
        scene();
        word(madvise(AT(0), PAGE, advice));
        word(madvise(AT(4), PAGE, advice));
        word(madvise(AT(6), PAGE, advice));
        word(madvise(AT(8), PAGE, advice));
        word(madvise(AT(12), PAGE, advice));
        word(madvise(AT(16), PAGE, advice));
        printf("\n");
    }
    return end();
}
