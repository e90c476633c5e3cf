// Writing and reading in every size: `tiny` writes 5,000 times, `big` 20 MB at once, `vectors` gathers and scatters,
// `read` reads standard input in odd sizes.
#include "start.h"

struct vector {
    const void *base;
    unsigned long length;
};

static void expect(const char *what, long result, long wanted) {
    if (result == wanted) return;
    say(what);
    say(": ");
    say_signed(result);
    say("\n");
    flush();
}

static void tiny(void) {
    for (int i = 0; i < 5000; i++) {
        char letter = i % 80 == 79 ? '\n' : 'a' + i % 26;
        expect("tiny", call3(SYS_write, 1, &letter, 1), 1);
    }
}

// The zero page many times over costs no memory.
static void big(void) {
    const long length = 20000000;
    expect("big", call3(SYS_write, 1, map_at(NULL, length, PROT_READ, 0), length), length);
}

static void vectors(void) {
    static struct vector list[1024];
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz\n";
    long total = 0;
    for (int i = 0; i < 1024; i++) {
        // Pieces that overlap, and empty ones.
        list[i].base = i % 5 ? letters + i % 27 : (const char *)0;
        list[i].length = i % 5 ? i % (28 - i % 27) : 0;
        total += list[i].length;
    }
    expect("1024 vectors", call3(SYS_writev, 1, list, 1024), total);
    expect("1025 vectors", call3(SYS_writev, 1, list, 1025), -22);
    expect("the last only", call3(SYS_writev, 1, list + 1023, 1), list[1023].length);
    // A vector in two pages.
    char *pages = map(2 * PAGE);
    struct vector *across = (struct vector *)(pages + PAGE - 8);
    across[0].base = letters, across[0].length = 5, across[1].base = letters + 26, across[1].length = 1;
    expect("vector across pages", call3(SYS_writev, 1, across, 2), 6);
    // Reading over the very list: what it says was copied before.
    static struct vector own[40];
    for (int i = 0; i < 40; i++) own[i].base = own, own[i].length = 3;
    expect("scatter over the list", call3(SYS_readv, 0, own, 40), 120);
    say("scattered ");
    for (int i = 0; i < 3; i++) say_number(((unsigned char *)own)[i], 16);
    say("\n");
    static char one[10], two[20];
    struct vector scatter[3] = {{one, 9}, {0, 0}, {two, 19}};
    expect("scatter", call3(SYS_readv, 0, scatter, 3), 28);
    say(one);
    say(" ");
    say(two);
    say("\n");
    flush();
}

static void odd_reads(void) {
    static char buffer[3 * PAGE];
    static const unsigned short sizes[] = {1, 0, 3, 7, 13, 4095, 4096, 4097, 61, 5000, 2};
    unsigned long sum = 0;
    for (int i = 0;; i++) {
        unsigned long size = sizes[i % 11], at = i * 257 % PAGE;
        long got = call3(SYS_read, 0, buffer + at, size);
        for (long j = 0; j < got; j++) sum = sum * 31 + (unsigned char)buffer[at + j];
        say_signed(got);
        say("\n");
        if (size && got <= 0) break;
    }
    say_number(sum, 16);
    say("\n");
    flush();
}

int program(long argc, char **argv) {
    if (argc < 2) return 99;
    if (same(argv[1], "tiny")) tiny();
    if (same(argv[1], "big")) big();
    if (same(argv[1], "vectors")) vectors();
    if (same(argv[1], "read")) odd_reads();
    return 0;
}
