// mlock, mlock2, munlock, mlockall: what becomes resident, VmLck, splits, and refusals.
#include "oracle.h"

static void locked(const char *when) { printf("VmLck %s: %ld kB\n", when, status_field("VmLck")); }

int main(void) {
    begin();
    locked("at first");
    fresh(0, 8, RW);
    TRY(mlock(AT(2), 2 * PAGE));
    locked("two pages");
    show_maps("two pages locked");
    show_pagemap("two pages locked", AT(0), 8);
    TRY(mlock(AT(2) + 1, PAGE));
    TRY(mlock(AT(4) - 1, 2));
    locked("a byte of the next page");
    show_maps("three pages locked");
    TRY(munlock(AT(0), 8 * PAGE));
    locked("unlocked");
    show_maps("unlocked");
    TRY(syscall(SYS_mlock2, AT(0), 8 * PAGE, MLOCK_ONFAULT));
    show_pagemap("locked on fault", AT(0), 8);
    WRITE(AT(7), 1);
    locked("on fault");
    TRY(syscall(SYS_mlock2, AT(0), 8 * PAGE, 2));
    TRY(madvise(AT(0), PAGE, MADV_DONTNEED));
    TRY(madvise(AT(0), PAGE, MADV_FREE));
    TRY(msync(AT(0), PAGE, MS_INVALIDATE));
    TRY(munmap(AT(0), 4 * PAGE));
    locked("half unmapped");
    TRY(mprotect(AT(4), 4 * PAGE, R));
    locked("protected");
    PLACE(mremap(AT(4), 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20)));
    locked("moved");
    TRY(mprotect(AT(20), 4 * PAGE, RW));
    PLACE(mremap(AT(20), 4 * PAGE, 6 * PAGE, 0));
    locked("grown");
    show_pagemap("grown", AT(20), 6);
    clear();
    locked("cleared");
    // Locked already when it is mapped.
    PLACE(mmap(AT(0), 4 * PAGE, RW, ANON | MAP_FIXED | MAP_LOCKED, -1, 0));
    show_pagemap("MAP_LOCKED", AT(0), 4);
    locked("MAP_LOCKED");
    clear();
    // Holes, no rights.
    fresh(0, 1, RW);
    fresh(2, 1, RW);
    TRY(mlock(AT(0), 3 * PAGE));
    show_pagemap("before the hole", AT(0), 3);
    locked("before the hole");
    TRY(munlock(AT(0), 3 * PAGE));
    fresh(4, 2, PROT_NONE);
    TRY(mlock(AT(4), 2 * PAGE));
    locked("PROT_NONE");
    TRY(mprotect(AT(4), PAGE, RW));
    show_pagemap("made accessible", AT(4), 2);
    fresh(8, 2, R);
    TRY(mlock(AT(8), 2 * PAGE));
    show_pagemap("read-only", AT(8), 2);
    TRY(mlock(AT(100), PAGE));
    TRY(mlock(AT(0), 0));
    TRY(mlock(AT(100), 0));
    TRY(mlock((void *)-1, 2));
    TRY(munlock(AT(0), -1));
    clear();
    TRY(mlockall(0));
    TRY(mlockall(MCL_ONFAULT));
    TRY(mlockall(8));
    TRY(mlockall(MCL_FUTURE));
    fresh(0, 2, RW);
    show_pagemap("mlockall(MCL_FUTURE)", AT(0), 2);
    TRY(munlockall());
    locked("munlockall");
    fresh(4, 2, RW);
    show_pagemap("after munlockall", AT(4), 2);
    return end();
}
