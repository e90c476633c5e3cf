// /proc/self/status and statm: how the sizes change with what is mapped and touched.
#include "oracle.h"

static const char *const FIELDS[] = {"VmSize", "VmLck", "VmData", "VmStk", "VmExe", "VmLib"};
enum { COUNT = sizeof FIELDS / sizeof *FIELDS };
static long last[COUNT], last_statm[3];

static void changes(const char *what) {
    char *text = whole_file("/proc/self/status");
    printf("%s:", what);
    for (int i = 0; i < COUNT; i++) {
        long now = field_of(text, FIELDS[i]);
        if (now != last[i]) printf(" %s %+ld", FIELDS[i], now - last[i]);
        last[i] = now;
    }
    long size, resident, shared;
    sscanf(whole_file("/proc/self/statm"), "%ld %ld %ld", &size, &resident, &shared);
    if (size != last_statm[0]) printf(" size %+ld", size - last_statm[0]);
    last_statm[0] = size;
    printf("\n");
}

int main(void) {
    begin();
    whole_file("/proc/self/status");
    // The first texts make the heap grow; differences count from here.
    char *text = whole_file("/proc/self/status");
    for (int i = 0; i < COUNT; i++) last[i] = field_of(text, FIELDS[i]);
    sscanf(whole_file("/proc/self/statm"), "%ld", &last_statm[0]);
    printf("stack is some: %d, program is some: %d\n", last[3] > 0, last[4] > 0);
    changes("nothing");
    fresh(0, 16, RW);
    changes("16 pages mapped");
    WRITE(AT(0), 1);
    changes("one written");
    TRY(mprotect(AT(0), 4 * PAGE, R));
    changes("4 made read-only");
    TRY(mprotect(AT(4), 4 * PAGE, PROT_NONE));
    changes("4 made inaccessible");
    TRY(mprotect(AT(0), 4 * PAGE, R | PROT_EXEC));
    changes("4 made executable");
    PLACE(mmap(AT(20), 8 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    changes("8 shared");
    PLACE(mmap(AT(30), 8 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    changes("8 growing down");
    int fd = scratch_file(4 * PAGE);
    PLACE(mmap(AT(40), 4 * PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, 0));
    changes("4 of a file");
    PLACE(mmap(AT(50), 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
    changes("4 of a file, writable");
    TRY(mlock(AT(50), 2 * PAGE));
    changes("2 locked");
    TRY(brk((char *)sbrk(0) + 32 * PAGE));
    changes("heap grown by 32 pages");
    clear();
    changes("window cleared");
    char *peak = whole_file("/proc/self/status");
    printf("peak: %d, high water: %d\n", field_of(peak, "VmPeak") >= field_of(peak, "VmSize"),
           field_of(peak, "VmHWM") >= field_of(peak, "VmRSS"));
    return end();
}
