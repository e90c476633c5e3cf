// Every system call that takes an address, with addresses that no system call should be given. Says what each answered.
#include "start.h"

#define SUCCESS 1
#define AT_FDCWD (-100)

static char *page;
static struct {
    const char *name;
    char *address;
} pointers[12];
static size_t count;

static void pointer(const char *name, unsigned long address) {
    pointers[count].name = name;
    pointers[count++].address = (char *)address;
}

static void answer(const char *what, const char *which, long result) {
    say(what);
    say(" ");
    say(which);
    say(": ");
    // Results that are no errors differ between systems (time, sizes).
    if (result < 0 && result > -4096) say_signed(result);
    else say("ok");
    say("\n");
}

// Calls with each of the bad pointers as P.
#define EACH(what, ...)                          \
    for (size_t i = 0; i < count; i++) {         \
        char *P = pointers[i].address;           \
        answer(what, pointers[i].name, __VA_ARGS__); \
    }
#define ONE(what, ...) answer(what, "", __VA_ARGS__)

struct vector {
    void *base;
    unsigned long length;
};

static long vectored(long number, long fd, void *base, unsigned long length) {
    struct vector two[2] = {{page, 0}, {base, length}};
    return call3(number, fd, two, 2);
}

int program(long argc, char **argv) {
    (void)argc, (void)argv;
    page = map(PAGE);
    char *read_only = map_at(NULL, PAGE, PROT_READ, 0), *none = map_at(NULL, PAGE, PROT_NONE, 0);
    char *edge = map(2 * PAGE) + PAGE;
    call2(SYS_munmap, edge, PAGE);
    pointer("null", 0);
    pointer("one", 1);
    pointer("wild", 0x123456789000);
    pointer("user-end", 0x7ffffffff000);
    pointer("non-canonical", 0x800000000000);
    pointer("non-canonical-high", 0xffff000000000000);
    pointer("direct-map", 0xffff888000100000);
    pointer("kernel", 0xffffffff80100000);
    pointer("last-page", 0xfffffffffffff000);
    pointer("minus-one", -1UL);
    pointer("prot-none", (unsigned long)none);
    size_t without_read_only = count;
    pointer("read-only", (unsigned long)read_only);

    // What is written to: read-only memory is a bad pointer too.
    EACH("read", call3(SYS_read, 0, P, 8))
    EACH("read nothing", call3(SYS_read, 0, P, 0))
    EACH("readv", vectored(SYS_readv, 0, P, 8))
    EACH("readv nothing", vectored(SYS_readv, 0, P, 0))
    EACH("fstat", call2(SYS_fstat, 0, P))
    EACH("newfstatat", call4(SYS_newfstatat, 1, "", P, 0x1000))
    EACH("readlink to", call3(SYS_readlink, "/proc/self/exe", P, 64))
    EACH("readlinkat to", call4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", P, 64))
    EACH("mincore", call3(SYS_mincore, page, PAGE, P))
    EACH("get fs", call2(SYS_arch_prctl, 0x1003, P))
    EACH("get gs", call2(SYS_arch_prctl, 0x1004, P))
    EACH("getrandom", call3(SYS_getrandom, P, 8, 0))
    EACH("getrandom nothing", call3(SYS_getrandom, P, 0, 0))
    EACH("getrusage", call2(SYS_getrusage, 0, P))
    EACH("uname", call1(SYS_uname, P))
    EACH("clock_gettime", call2(SYS_clock_gettime, 1, P))
    EACH("clock_getres", call2(SYS_clock_getres, 1, P))
    EACH("gettimeofday", call2(SYS_gettimeofday, P, 0))
    EACH("gettimeofday zone", call2(SYS_gettimeofday, 0, P))
    EACH("time", call1(SYS_time, P))
    EACH("prlimit old", call4(SYS_prlimit64, 0, 3, 0, P))
    // Linux takes any user address for this one and kills the program later.
    EACH("rseq", (unsigned long)P >> 47 ? call4(SYS_rseq, P, 32, 0, 0x53053053) : 0)

    long file = call3(SYS_open, "/proc/self/exe", 0, 0);
    EACH("pread64", call4(SYS_pread64, file, P, 8, 0))
    EACH("pread64 at the end", call4(SYS_pread64, file, P, 8, 1L << 40))
    EACH("read a file", call3(SYS_read, file, P, 8))

    // What is only read.
    count = without_read_only;
    EACH("write", call3(SYS_write, 1, P, 8))
    EACH("write nothing", call3(SYS_write, 1, P, 0))
    EACH("writev", vectored(SYS_writev, 1, P, 8))
    EACH("writev nothing", vectored(SYS_writev, 1, P, 0))
    EACH("writev vector", call3(SYS_writev, 1, P, 1))
    EACH("writev no vector", call3(SYS_writev, 1, P, 0))
    EACH("readv vector", call3(SYS_readv, 0, P, 2))
    EACH("newfstatat path", call4(SYS_newfstatat, AT_FDCWD, P, page, 0))
    EACH("open", call3(SYS_open, P, 0, 0))
    EACH("openat", call4(SYS_openat, AT_FDCWD, P, 0, 0))
    EACH("readlink path", call3(SYS_readlink, P, page, 64))
    EACH("prlimit new", call4(SYS_prlimit64, 0, 3, P, 0))
    EACH("set fs", i < 3 ? 0 : i == 10 ? 0 : call2(SYS_arch_prctl, 0x1002, P))
    EACH("set gs", i < 3 ? 0 : i == 10 ? 0 : call2(SYS_arch_prctl, 0x1001, P))
    EACH("set_robust_list", call2(SYS_set_robust_list, P, 24))
    EACH("munmap", i == 10 ? 0 : call2(SYS_munmap, P, PAGE))
    EACH("mprotect", i == 10 ? 0 : call3(SYS_mprotect, P, PAGE, PROT_READ))
    EACH("madvise", i == 10 ? 0 : call3(SYS_madvise, P, PAGE, 4))
    EACH("madvise normal", i == 10 ? 0 : call3(SYS_madvise, P, PAGE, 0))
    EACH("mincore start", i == 10 ? 0 : call3(SYS_mincore, P, PAGE, page))
    EACH("mmap fixed", i < 3 || i > 8 ? 0 : (long)map_at(P, PAGE, PROT_READ, MAP_FIXED))

    // Ranges that begin well and end badly.
    ONE("read across the edge", call3(SYS_read, 0, edge - 4, 8));
    ONE("read the rest", call3(SYS_read, 0, page, 8));
    say(page);
    say("\n");
    ONE("read huge", call3(SYS_read, 0, page, 1UL << 41));
    ONE("read beyond user", call3(SYS_read, 0, page, 1UL << 47));
    ONE("read negative", call3(SYS_read, 0, page, -1L));
    ONE("read from stdout's number", call3(SYS_read, 99, page, 8));
    ONE("read wide fd", call3(SYS_read, 0x700000000, page, 0));
    ONE("write beyond user", call3(SYS_write, 1, page, 1UL << 47));
    ONE("write negative", call3(SYS_write, 1, page, -1L));
    ONE("write wide fd", call3(SYS_write, 0x700000001, page, 0));
    ONE("write bad fd", call3(SYS_write, 99, page, 1));
    ONE("write bad fd and pointer", call3(SYS_write, 99, -1L, 1));
    ONE("getrandom across the edge", call3(SYS_getrandom, edge - 4, 8, 0) == 4 ? SUCCESS : -1);
    ONE("getrandom flags", call3(SYS_getrandom, page, 8, 8));
    ONE("getrandom wide flags", call3(SYS_getrandom, page, 8, 0x100000000));
    ONE("getrandom random and insecure", call3(SYS_getrandom, page, 8, 6));
    ONE("uname across the edge", call1(SYS_uname, edge - 100));
    ONE("fstat across the edge", call2(SYS_fstat, 0, edge - 100));
    ONE("fstat bad fd", call2(SYS_fstat, 99, page));
    ONE("fstat wide fd", call2(SYS_fstat, 0x700000000, page));
    ONE("close bad fd", call1(SYS_close, 99));
    ONE("close minus one", call1(SYS_close, -1));
    ONE("writev too many", call3(SYS_writev, 1, page, 1025));
    ONE("writev negative count", call3(SYS_writev, 1, page, -1));
    ONE("writev bad fd", call3(SYS_writev, 99, page, 0));
    ONE("writev across the edge", call3(SYS_writev, 1, edge - 24, 2));
    ONE("writev negative length", vectored(SYS_writev, 1, page, -1));
    ONE("writev beyond user", vectored(SYS_writev, 1, page, 1UL << 47));
    // The whole vector is looked at before a byte is written.
    struct vector bad_last[2] = {{"never\n", 6}, {page, -1}};
    ONE("writev bad last length", call3(SYS_writev, 1, bad_last, 2));
    bad_last[1].base = (char *)-1, bad_last[1].length = 1;
    ONE("writev bad last address", call3(SYS_writev, 1, bad_last, 2));
    ((struct vector *)(edge - 16))->base = "never\n";
    ((struct vector *)(edge - 16))->length = 6;
    ONE("writev vector across the edge", call3(SYS_writev, 1, edge - 16, 2));
    for (int i = 0; i < (int)PAGE; i++) page[i] = "x/"[i & 1];
    ONE("pread64 negative offset", call4(SYS_pread64, file, page, 8, -1L));
    ONE("pread64 negative offset, bad fd", call4(SYS_pread64, 99, page, 8, -1L));
    ONE("pread64 pipe", call4(SYS_pread64, 1, page, 8, 0));
    ONE("pread64 pipe, bad pointer", call4(SYS_pread64, 1, -1L, 8, 0));
    ONE("pread64 across the edge", call4(SYS_pread64, file, edge - 4, 8, 0));
    ONE("lseek negative", call3(SYS_lseek, file, -1L, 0));
    ONE("lseek before the start", call3(SYS_lseek, file, -(1L << 40), 2));
    ONE("lseek smallest", call3(SYS_lseek, file, 1UL << 63, 1));
    ONE("lseek pipe", call3(SYS_lseek, 1, 0, 0));
    ONE("lseek how", call3(SYS_lseek, file, 0, 99));
    ONE("lseek wide how", call3(SYS_lseek, file, 0, 0x700000000));
    ONE("write to a read-only file", call3(SYS_write, file, page, 8));
    ONE("map a bad fd", call(SYS_mmap, 0, PAGE, 1, MAP_PRIVATE, 99, 0));
    ONE("map inside a page", call(SYS_mmap, 0, PAGE, 1, MAP_PRIVATE, file, 5));
    ONE("map the last offset", call(SYS_mmap, 0, 2 * PAGE, 1, MAP_PRIVATE, file, -PAGE));
    ONE("map nothing of a file", call(SYS_mmap, 0, 0, 1, MAP_PRIVATE, file, 0));
    ONE("map a pipe", call(SYS_mmap, 0, PAGE, 1, MAP_PRIVATE, 1, 0));
    ONE("map shared, writable", call(SYS_mmap, 0, PAGE, 3, 1, file, 0));
    char *shared = (char *)call(SYS_mmap, 0, PAGE, 1, 1, file, 0);
    ONE("map shared", (long)shared);
    ONE("make it writable", call3(SYS_mprotect, shared, PAGE, 3));
    ONE("close", call1(SYS_close, file));
    ONE("close again", call1(SYS_close, file));
    ONE("open empty", call3(SYS_open, "", 0, 0));
    ONE("open below a file", call4(SYS_openat, 0, "x", 0, 0));
    ONE("open for a bad fd", call4(SYS_openat, 99, "x", 0, 0));
    ONE("path too long", call4(SYS_newfstatat, AT_FDCWD, page, read_only, 0));
    page[PAGE - 1] = 0;
    ONE("path just not too long", call3(SYS_readlink, page, page, 64));
    edge[-1] = 'x';
    ONE("path across the edge", call3(SYS_readlink, edge - 1, page, 64));
    ONE("path empty", call3(SYS_readlink, "", page, 64));
    ONE("readlink size 0", call3(SYS_readlink, "/proc/self/exe", page, 0));
    ONE("readlink negative size", call3(SYS_readlink, "/proc/self/exe", page, -1));
    ONE("readlink bad path and size", call3(SYS_readlink, -1L, page, 0));
    ONE("newfstatat no file", call4(SYS_newfstatat, AT_FDCWD, "/no/such/file", page, 0));
    ONE("newfstatat empty", call4(SYS_newfstatat, AT_FDCWD, "", page, 0));
    ONE("newfstatat bad fd", call4(SYS_newfstatat, 99, "", page, 0x1000));
    ONE("newfstatat bad flags", call4(SYS_newfstatat, AT_FDCWD, "/proc/self/exe", page, 1));
    ONE("mincore inside", call3(SYS_mincore, page + 1, PAGE, page));
    ONE("mincore nothing", call3(SYS_mincore, page, 0, page));
    ONE("mincore nothing, bad vector", call3(SYS_mincore, page, 0, -1L));
    ONE("mincore huge", call3(SYS_mincore, page, 1UL << 46, page));
    ONE("mincore minus one", call3(SYS_mincore, page, -1L, page));
    ONE("mincore kernel and kernel", call3(SYS_mincore, page, PAGE, 0xffff888000100000));
    ONE("arch_prctl unknown", call2(SYS_arch_prctl, 0x9999, page));
    ONE("set_robust_list size", call2(SYS_set_robust_list, page, 25));
    ONE("clock unknown", call2(SYS_clock_gettime, 77, page));
    ONE("clock unknown, bad pointer", call2(SYS_clock_gettime, 77, 1L));
    ONE("clock wide", call2(SYS_clock_gettime, 0x700000001, page));
    ONE("clock_getres null", call2(SYS_clock_getres, 1, 0));
    ONE("getrusage who", call2(SYS_getrusage, 7, page));
    ONE("getrusage wide who", call2(SYS_getrusage, 0x700000000, page));
    ONE("prlimit resource", call4(SYS_prlimit64, 0, 16, 0, page));
    ONE("prlimit resource, bad pointer", call4(SYS_prlimit64, 0, 16, -1L, page));
    ONE("prlimit wide resource", call4(SYS_prlimit64, 0, 0x700000003, 0, page));
    ONE("prlimit nobody", call4(SYS_prlimit64, 0x3fffffff, 3, 0, page));
    ONE("prlimit negative pid", call4(SYS_prlimit64, -1, 3, 0, page));
    ((long *)page)[0] = 2 * PAGE, ((long *)page)[1] = PAGE;
    ONE("prlimit soft above hard", call4(SYS_prlimit64, 0, 3, page, 0));
    ONE("rseq misaligned", call4(SYS_rseq, page + 4, 32, 0, 0x53053053));
    ONE("rseq flags", call4(SYS_rseq, page, 32, 4, 0x53053053));
    ONE("rseq unregister nothing", call4(SYS_rseq, page, 32, 1, 0x53053053));
    ONE("madvise unknown", call3(SYS_madvise, page, PAGE, 777));
    ONE("madvise wide", call3(SYS_madvise, page, PAGE, 0x700000000));
    ONE("madvise wraps", call3(SYS_madvise, page, -1L, 4));
    ONE("madvise wraps at the end", call3(SYS_madvise, page, -PAGE, 4));
    ONE("madvise nothing", call3(SYS_madvise, page, 0, 4));
    ONE("no such call", call0(999));
    ONE("no such call", call0(-1));
    ONE("rseq user address", call4(SYS_rseq, page, 32, 0, 0x53053053));
    ONE("rseq again", call4(SYS_rseq, page, 32, 0, 0x53053053));
    ONE("rseq elsewhere", call4(SYS_rseq, page + 64, 32, 0, 0x53053053));
    ONE("rseq wrong signature", call4(SYS_rseq, page, 32, 1, 0x12345678));
    ONE("rseq unregister", call4(SYS_rseq, page, 32, 1, 0x53053053));
    flush();
    return 0;
}
