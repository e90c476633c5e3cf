// /proc/self/smaps and smaps_rollup: the fields of mappings whose pages are known.
#include "oracle.h"

static const char *const FIELDS[] = {
    "Size", "KernelPageSize", "MMUPageSize", "Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty",
    "Anonymous", "LazyFree", "AnonHugePages", "Swap", "SwapPss", "Locked",
};

static void show(const char *when, const char *start) {
    char *block = smaps_of(start);
    printf("%s:", when);
    if (!block) {
        printf(" no such mapping\n");
        return;
    }
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++) printf(" %s %ld", FIELDS[i], field_of(block, FIELDS[i]));
    char *flags = strstr(block, "VmFlags:");
    // Those that do not depend on how Linux was built.
    printf("\n  flags");
    for (char *flag; flags && (flag = strsep(&flags, " "));) {
        if (*flag && strlen(flag) == 2 && strstr("rd wr ex sh mr mw me ms gd lo sr rr ac nr dc de dd wf", flag)) {
            printf(" %s", flag);
        }
    }
    printf("\n");
}

int main(void) {
    begin();
    fresh(0, 8, RW);
    show("untouched", AT(0));
    WRITE(AT(1), 1);
    WRITE(AT(2), 1);
    READ(AT(3));
    show("two written, one read", AT(0));
    TRY(mprotect(AT(4), 4 * PAGE, R));
    show("the writable half", AT(0));
    show("the other half", AT(4));
    TRY(mlock(AT(0), 4 * PAGE));
    show("locked", AT(0));
    TRY(munlock(AT(0), 4 * PAGE));
    TRY(madvise(AT(0), 4 * PAGE, MADV_SEQUENTIAL));
    show("sequential", AT(0));
    TRY(madvise(AT(0), 4 * PAGE, MADV_RANDOM));
    TRY(madvise(AT(0), 4 * PAGE, MADV_DONTFORK));
    TRY(madvise(AT(0), 4 * PAGE, MADV_DONTDUMP));
    TRY(madvise(AT(0), 4 * PAGE, MADV_WIPEONFORK));
    show("advised", AT(0));
    clear();
    PLACE(mmap(AT(0), 2 * PAGE, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0));
    show("no reserve", AT(0));
    PLACE(mmap(AT(4), 2 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    show("grows down", AT(4));
    int memory = memfd_create("smaps", 0);
    TRY(ftruncate(memory, 4 * PAGE));
    PLACE(mmap(AT(8), 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, memory, 0));
    WRITE(AT(8), 1);
    WRITE(AT(9), 1);
    show("shared, two written", AT(8));
    PLACE(mmap(AT(16), 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, memory, 0));
    WRITE(AT(16), 1);
    show("one of them mapped twice", AT(8));
    show("the second mapping", AT(16));
    PLACE(mmap(AT(24), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, memory, 0));
    WRITE(AT(24), 1);
    WRITE(AT(25), 1);
    show("private copies", AT(24));
    PLACE(mmap(AT(32), 2 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    WRITE(AT(32), 1);
    show("shared anonymous", AT(32));

    // The sum of all mappings is smaps_rollup.
    char *text = whole_file("/proc/self/smaps");
    long rss = 0, anonymous = 0;
    for (char *line = text; (line = strstr(line, "\nRss:")); line++) rss += atol(line + 5);
    for (char *line = text; (line = strstr(line, "\nAnonymous:")); line++) anonymous += atol(line + 11);
    char *rollup = whole_file("/proc/self/smaps_rollup");
    // Reading may itself have touched a page of the heap.
    long more = field_of(rollup, "Rss") - rss;
    printf("rollup: rss %s, anonymous %s\n", more >= 0 && more <= 64 ? "agrees" : "differs",
           labs(field_of(rollup, "Anonymous") - anonymous) <= 64 ? "agrees" : "differs");
    return end();
}
