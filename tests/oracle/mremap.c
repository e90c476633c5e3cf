// mremap: grow, shrink, move, move onto something, duplicate a shared mapping, and every refusal.
#include "oracle.h"

int main(void) {
    begin();
    fresh(0, 4, RW);
    for (int page = 0; page < 4; page++) store(AT(page), 10 + page);
    PLACE(mremap(AT(0), 4 * PAGE, 2 * PAGE, 0));
    show_maps("shrunk");
    READ(AT(1));
    READ(AT(2));
    PLACE(mremap(AT(0), 2 * PAGE, 5 * PAGE, 0));
    show_maps("grown");
    READ(AT(0));
    READ(AT(4));
    fresh(6, 2, RW);
    PLACE(mremap(AT(0), 5 * PAGE, 7 * PAGE, 0));
    show_maps("no room");
    PLACE(mremap(AT(0), 5 * PAGE, 6 * PAGE, 0));
    show_maps("into the exact hole");
    PLACE(mremap(AT(0), 6 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20)));
    show_maps("moved and shrunk");
    READ(AT(20));
    READ(AT(21));
    PLACE(mremap(AT(20), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(6)));
    show_maps("moved onto something");
    READ(AT(6));
    PLACE(mremap(AT(6), PAGE, 4 * PAGE, MREMAP_MAYMOVE));
    show_maps("moved elsewhere out of the middle");
    clear();

    // A middle part moves, with what is in it.
    fresh(0, 4, RW);
    for (int page = 0; page < 4; page++) store(AT(page), 20 + page);
    PLACE(mremap(AT(1), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(10)));
    show_maps("the middle moved");
    READ(AT(10));
    READ(AT(11));
    READ(AT(1));
    PLACE(mremap(AT(10), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(1)));
    show_maps("and back");
    READ(AT(2));
    show_pagemap("back", AT(0), 4);
    clear();

    // Moved next to a neighbour: merged if never touched, else not.
    fresh(0, 1, RW);
    fresh(10, 1, RW);
    PLACE(mremap(AT(10), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(1)));
    show_maps("untouched neighbours");
    fresh(10, 1, RW);
    WRITE(AT(0), 1);
    WRITE(AT(10), 1);
    PLACE(mremap(AT(10), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(2)));
    show_maps("touched neighbours");
    clear();

    // Leaving the old place mapped.
    fresh(0, 2, RW);
    WRITE(AT(0), 5);
    PLACE(mremap(AT(0), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, AT(8)));
    show_maps("not unmapped");
    READ(AT(0));
    READ(AT(8));
    PLACE(mremap(AT(0), 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    PLACE(mremap(AT(0), 2 * PAGE, 2 * PAGE, MREMAP_DONTUNMAP));
    clear();

    // An old length of 0 gives a second mapping of shared memory, and is refused for private memory.
    PLACE(mmap(AT(0), 2 * PAGE, RW, SHARED_ANON | MAP_FIXED, -1, 0));
    WRITE(AT(1), 9);
    PLACE(mremap(AT(0), 0, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(4)));
    READ(AT(5));
    WRITE(AT(5), 8);
    READ(AT(1));
    show_maps("shared twice");
    fresh(8, 1, RW);
    PLACE(mremap(AT(8), 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(12)));
    clear();

    // Refusals.
    fresh(0, 4, RW);
    PLACE(mremap(AT(0) + 1, PAGE, PAGE, MREMAP_MAYMOVE));
    PLACE(mremap(AT(0), PAGE, 0, MREMAP_MAYMOVE));
    PLACE(mremap(AT(0), PAGE, PAGE, 8));
    PLACE(mremap(AT(0), PAGE, PAGE, MREMAP_FIXED, AT(8)));
    PLACE(mremap(AT(0), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(1)));
    PLACE(mremap(AT(1), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(0)));
    PLACE(mremap(AT(0), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(8) + 1));
    PLACE(mremap(AT(0), PAGE, 1ul << 62, MREMAP_MAYMOVE));
    PLACE(mremap(AT(0), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(1ul << 62)));
    PLACE(mremap(AT(30), PAGE, PAGE, MREMAP_MAYMOVE));
    PLACE(mremap(AT(30), PAGE, 2 * PAGE, 0));
    PLACE(mremap(AT(3), 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE));
    fresh(4, 1, R);
    PLACE(mremap(AT(3), 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE));
    PLACE(mremap(AT(3), 2 * PAGE, PAGE, 0));
    show_maps("shrunk across two");
    return end();
}
