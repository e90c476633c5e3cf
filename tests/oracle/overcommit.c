// Overcommit in its heuristic mode: what no memory could ever hold is refused, NORESERVE and PROT_NONE are not.
#include "oracle.h"
#include <sys/sysinfo.h>

int main(void) {
    begin();
    struct sysinfo info;
    TRY(sysinfo(&info));
    size_t all = (info.totalram + info.totalswap) * info.mem_unit & -PAGE;
    printf("mode: %s", whole_file("/proc/sys/vm/overcommit_memory"));
    char *half = PLACE(mmap(NULL, all / 2, RW, ANON, -1, 0));
    PLACE(mmap(NULL, all * 2, RW, ANON, -1, 0));
    PLACE(mmap(NULL, all + 64 * PAGE, RW, SHARED_ANON, -1, 0));
    char *none = PLACE(mmap(NULL, all * 2, PROT_NONE, ANON, -1, 0));
    TRY(mprotect(none, all * 2, R));
    TRY(mprotect(none, all * 2, RW));
    TRY(mprotect(none, PAGE, RW));
    char *free = PLACE(mmap(NULL, all * 2, RW, ANON | MAP_NORESERVE, -1, 0));
    WRITE(free + all, 1);
    TRY(munmap(free, all * 2));
    PLACE(mremap(half, all / 2, all * 2, MREMAP_MAYMOVE));
    PLACE(mmap(NULL, all * 2, R, ANON, -1, 0));
    TRY(brk((char *)sbrk(0) + all * 2));
    char *text = whole_file("/proc/meminfo");
    // Linux tells huge pages only where it has been built with them.
    long huge = field_of(text, "Hugetlb"), total = field_of(text, "MemTotal") - (huge > 0 ? huge : 0);
    long limit = field_of(text, "CommitLimit") - field_of(text, "SwapTotal");
    printf("limit is half of memory: %d\n", limit > total * 49 / 100 && limit <= total / 2);
    printf("something is committed: %d\n", field_of(text, "Committed_AS") > 0);
    return end();
}
