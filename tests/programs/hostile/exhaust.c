// Uses all memory there is until the program is killed: by touches of its own, by page tables, by its stack, and in a
// system call.
#include "start.h"

#define GIB (1UL << 30)

// Leaves little more than what the kernel keeps for itself.
static void fill(void) {
    unsigned long info[14];
    call1(SYS_sysinfo, info);
    unsigned long free_bytes = info[5], kept = 250 * PAGE;
    if (free_bytes > kept) map_at(NULL, free_bytes - kept, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_POPULATE);
}

static void populate(void) { map_at(NULL, GIB, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_POPULATE); }

static void touch(void) {
    char *memory = map_at(NULL, GIB, PROT_READ | PROT_WRITE, MAP_NORESERVE);
    for (size_t at = 0; at < GIB; at += PAGE) memory[at] = 1;
}

// Each touch needs page tables of its own.
static void tables(void) {
    char *memory = map_at(NULL, GIB << 14, PROT_READ, MAP_NORESERVE);
    fill();
    for (size_t at = 0; at < GIB << 14; at += GIB) *(volatile char *)(memory + at);
}

static void stack(void) {
    long limit[2] = {(long)GIB, (long)GIB};
    call4(SYS_prlimit64, 0, 3, limit, 0);
    fill();
    for (size_t at = 0; at < GIB; at += PAGE) *((volatile char *)__builtin_frame_address(0) - at) = 1;
}

int program(long argc, char **argv) {
    if (argc < 2) return 99;
    if (same(argv[1], "touch")) touch();
    if (same(argv[1], "tables")) tables();
    if (same(argv[1], "stack")) stack();
    if (same(argv[1], "populate")) populate();
    return 0;
}
