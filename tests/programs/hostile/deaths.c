// Ways to leave the path of virtue, one a run, by name: `deaths - WAY`. Most end in a signal; what each ends in is for
// Linux to say. `deaths` lists those of which it says the same everywhere, `deaths by-cpu` the others.
#include "start.h"

#define NONCANONICAL "0x800000000000"
#define KERNEL "0xffffffff80100000"
#define DIRECT_MAP "0xffff888000100000"

__attribute__((used)) static char data[64] = {(char)0xc3};

#define WAY(name, ...) \
    static void way_##name(void) { __VA_ARGS__ }
#define CODE(name, code) \
    __attribute__((naked)) static void way_##name(void) { asm(code "; mov $231, %eax; mov $77, %edi; syscall"); }
#include "deaths.inc"
#include "deaths_by_cpu.inc"
#undef WAY
#undef CODE

struct way {
    const char *name;
    void (*go)(void);
};

#define WAY(name, ...) {#name, way_##name},
#define CODE(name, code) {#name, way_##name},
static const struct way ways[] = {
#include "deaths.inc"
    {0, 0},
};
static const struct way ways_by_cpu[] = {
#include "deaths_by_cpu.inc"
    {0, 0},
};

static void list(const struct way *way) {
    for (; way->name; way++) {
        say(way->name);
        say("\n");
    }
    flush();
}

static void find(const struct way *way, const char *name) {
    for (; way->name; way++) {
        if (same(way->name, name)) {
            way->go();
            leave(77);
        }
    }
}

int program(long argc, char **argv) {
    if (argc < 3) {
        list(argc < 2 ? ways : ways_by_cpu);
        return 0;
    }
    find(ways, argv[2]);
    find(ways_by_cpu, argv[2]);
    return 99;
}
