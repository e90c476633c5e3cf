// Uses all memory there is: `touch`, `tables` and `stack` until the program is killed; `full` fills it without dying and
// then asks the kernel for what needs more.
#include "start.h"

#define GIB (1UL << 30)

static char *fill(void) {
    // What cannot be had is left out.
    return map_at(NULL, GIB, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_POPULATE);
}

static void touch(void) {
    char *memory = map_at(NULL, GIB, PROT_READ | PROT_WRITE, MAP_NORESERVE);
    for (size_t at = 0; at < GIB; at += PAGE) memory[at] = 1;
}

// Each touch needs page tables of its own.
static void tables(void) {
    char *memory = map_at(NULL, GIB << 14, PROT_READ, MAP_NORESERVE), *filler = fill();
    call2(SYS_munmap, filler, 50 * PAGE);
    for (size_t at = 0; at < GIB << 14; at += GIB) *(volatile char *)(memory + at);
}

static void stack(void) {
    long limit[2] = {(long)GIB, (long)GIB};
    call4(SYS_prlimit64, 0, 3, limit, 0);
    call2(SYS_munmap, fill(), 50 * PAGE);
    for (size_t at = 0; at < GIB; at += PAGE) *((volatile char *)__builtin_frame_address(0) - at) = 1;
}

static void check(const char *what, long result, int fine) {
    say(what);
    say(": ");
    if (fine) {
        say("fine\n");
    } else {
        say_signed(result);
        say("\n");
    }
    flush();
}

#define REFUSED(what, ...)                                                       \
    do {                                                                         \
        long result = __VA_ARGS__;                                               \
        check(what, result, result == -12 || result == -14);                     \
    } while (0)

static void full(void) {
    // Touched now: there is no memory for it later.
    memset(text, 0, sizeof text);
    *((volatile char *)__builtin_frame_address(0) - PAGE) = 1;
    char *brk = (char *)call1(SYS_brk, 0), *spare = map(64 * PAGE), *fresh = map(16 * PAGE);
    spare[0] = 1;
    char *filler = fill();
    check("filled", (long)filler, filler > (char *)0);
    REFUSED("read", call3(SYS_read, 0, fresh, 100));
    REFUSED("write", call3(SYS_write, 1, fresh, 100));
    REFUSED("uname", call1(SYS_uname, fresh));
    REFUSED("getrandom", call3(SYS_getrandom, fresh, 100, 0));
    REFUSED("mincore", call3(SYS_mincore, spare, PAGE, fresh));
    REFUSED("path", call3(SYS_readlink, fresh, text, 8));
    char *heap = (char *)call1(SYS_brk, brk + PAGE);
    check("brk", heap - brk, heap == brk || heap == brk + PAGE);
    long result = 0;
    // Neighbours with other rights need a VMA each.
    int i = 0;
    for (; i < 200 && result >= 0; i++) {
        result = (long)map_at((char *)0x10000000 + i * PAGE, PAGE, i & 1 ? PROT_READ : PROT_WRITE, MAP_FIXED);
    }
    check("mmap", result, result == -12);
    // A hole in the middle needs one too; at the edges it does not.
    REFUSED("hole", call2(SYS_munmap, spare + 8 * PAGE, PAGE));
    REFUSED("protect", call3(SYS_mprotect, spare + 16 * PAGE, PAGE, PROT_READ));
    check("edge", call2(SYS_munmap, spare + 63 * PAGE, PAGE), 1);
    // Memory that comes back can be had again.
    check("back", call2(SYS_munmap, filler, GIB), 1);
    check("read again", call3(SYS_read, 0, fresh, 100), 1);
    fresh[PAGE] = 1;
    check("hole again", call2(SYS_munmap, spare + 8 * PAGE, PAGE), 1);
    check("filled again", (long)fill(), 1);
}

int program(long argc, char **argv) {
    if (argc < 2) return 99;
    if (same(argv[1], "touch")) touch();
    if (same(argv[1], "tables")) tables();
    if (same(argv[1], "stack")) stack();
    if (same(argv[1], "full")) full();
    return 0;
}
