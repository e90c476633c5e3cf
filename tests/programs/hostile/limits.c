// Asks for more than there is, or for what is not there, by name: `whole` address space, `many` mappings, `closed`
// descriptors, new `processes`. What it says is what Linux answers too, but for the last.
#include "start.h"

static void tell(const char *what, long result) {
    say(what);
    say(": ");
    say_signed(result);
    say("\n");
}

// Ever smaller pieces, until not even a page can be had.
static void whole(void) {
    long result = 0;
    char *last = NULL;
    for (size_t length = 1UL << 46; length >= PAGE; length /= 2) {
        for (;;) {
            result = (long)map_at(NULL, length, PROT_NONE, MAP_NORESERVE);
            if (result < 0 && result > -4096) break;
            last = (char *)result;
        }
    }
    tell("a page too many", result);
    tell("give one back", call2(SYS_munmap, last, PAGE));
    tell("and take it", (long)map(PAGE) == (long)last ? 0 : 1);
}

// Every second page becomes readable, so that each is a mapping of its own, until there are vm.max_map_count.
static void many(void) {
    const long wanted = 70000;
    char *pages = map_at(NULL, wanted * PAGE, PROT_NONE, MAP_NORESERVE);
    long result = 0, done = 0;
    for (; done < wanted && !result; done += 2) result = call3(SYS_mprotect, pages + done * PAGE, PAGE, PROT_READ);
    tell("mprotect", result);
    tell("mappings enough", done > 65000 && done < 66000);
    tell("one more split", call2(SYS_munmap, pages + (wanted - 100) * PAGE, PAGE));
    tell("munmap", call2(SYS_munmap, pages, wanted * PAGE));
    tell("room again", (long)map(PAGE) > 0);
}

static void closed(void) {
    static char byte;
    tell("read at the end", call3(SYS_read, 0, &byte, 1));
    tell("close", call1(SYS_close, 0));
    tell("read", call3(SYS_read, 0, &byte, 1));
    tell("close again", call1(SYS_close, 0));
    flush();
    tell("close the output", call1(SYS_close, 1));
    long result = call3(SYS_write, 1, &byte, 1);
    // What nobody can read any more is gone.
    flush();
    leave(result == -9 ? 5 : 6);
}

static void processes(void) {
    tell("fork", call0(SYS_fork));
    tell("vfork", call0(SYS_vfork));
    tell("clone", call(SYS_clone, 17, 0, 0, 0, 0, 0));
    tell("clone3", call2(SYS_clone3, text, 88));
}

int program(long argc, char **argv) {
    if (argc < 2) return 99;
    if (same(argv[1], "whole")) whole();
    if (same(argv[1], "many")) many();
    if (same(argv[1], "closed")) closed();
    if (same(argv[1], "processes")) processes();
    flush();
    return 0;
}
