// MAP_GROWSDOWN: grows at a touch below, up to the guard gap of 256 pages above an accessible mapping.
#include "oracle.h"

int main(void) {
    begin();
    PLACE(mmap(AT(600), 2 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    WRITE(AT(600), 1);
    WRITE(AT(599), 2);
    show_maps("grown by one");
    WRITE(AT(590), 3);
    show_maps("grown by nine");
    READ(AT(580));
    show_maps("grown by a read");
    fresh(300, 1, RW);
    WRITE(AT(557), 4);
    show_maps("257 pages above a mapping");
    WRITE(AT(556), 4);
    show_maps("256 pages");
    READ(AT(400));
    READ(AT(301));
    show_maps("refused");
    TRY(mprotect(AT(300), PAGE, PROT_NONE));
    WRITE(AT(555), 4);
    show_maps("above PROT_NONE");
    WRITE(AT(301), 5);
    show_maps("down to PROT_NONE");
    READ(AT(300));
    // The gap is kept from the other side: a hint there is not taken, a fixed place is.
    clear();
    PLACE(mmap(AT(600), 2 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    PLACE(mmap(AT(590), PAGE, RW, ANON, -1, 0));
    PLACE(mmap(AT(344), PAGE, RW, ANON, -1, 0));
    PLACE(mmap(AT(343), PAGE, RW, ANON, -1, 0));
    PLACE(mmap(AT(599), PAGE, RW, ANON | MAP_FIXED, -1, 0));
    show_maps("beside it");
    WRITE(AT(598), 1);
    // Shared or of a file it is refused, or does not grow.
    int fd = scratch_file(4 * PAGE);
    PLACE(mmap(AT(900), PAGE, RW, MAP_PRIVATE | MAP_FIXED | MAP_GROWSDOWN, fd, 0));
    PLACE(mmap(AT(900), PAGE, RW, SHARED_ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
    WRITE(AT(899), 1);
    show_maps("at the end");
    return end();
}
