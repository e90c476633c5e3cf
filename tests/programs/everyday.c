// What ordinary programs do: print, sort, compute with floating point, allocate, map, recurse, complain, and exit with
// a status of their own. Nothing printed depends on where the kernel put things.
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t state = 12345;

static uint32_t next_random(void) {
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static int by_value(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static unsigned ackermann(unsigned m, unsigned n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

static void sorting(void) {
    enum { COUNT = 5000 };
    uint32_t *numbers = malloc(COUNT * sizeof *numbers);
    for (int i = 0; i < COUNT; i++) numbers[i] = next_random() % 100000;
    qsort(numbers, COUNT, sizeof *numbers, by_value);
    unsigned long sum = 0;
    for (int i = 1; i < COUNT; i++) {
        if (numbers[i - 1] > numbers[i]) printf("not sorted at %d\n", i);
        sum += (unsigned long)numbers[i] * i;
    }
    printf("sorted: first %u, last %u, sum %lu\n", numbers[0], numbers[COUNT - 1], sum);
    free(numbers);
}

static void floats(void) {
    double sum = 0;
    for (int i = 1; i <= 1000; i++) sum += sqrt(i) * sin(i) / i;
    float narrow = 1.0f / 3.0f;
    printf("floats: %.12f %.9g %e %a\n", sum, narrow, pow(2.5, 17), exp(1.0));
}

static void allocating(void) {
    char *blocks[64];
    for (int i = 0; i < 64; i++) {
        blocks[i] = malloc((size_t)1 << (i % 18));
        memset(blocks[i], i, (size_t)1 << (i % 18));
    }
    for (int i = 0; i < 64; i += 2) free(blocks[i]);
    unsigned long sum = 0;
    for (int i = 1; i < 64; i += 2) {
        blocks[i] = realloc(blocks[i], ((size_t)1 << (i % 18)) * 2);
        sum += (unsigned char)blocks[i][((size_t)1 << (i % 18)) - 1];
        free(blocks[i]);
    }
    char *large = calloc(1, 3 << 20);
    for (int i = 0; i < 3 << 20; i += 4096) sum += large[i];
    free(large);
    printf("allocated: %lu\n", sum);
}

static void mapping(void) {
    size_t page = 4096;
    char *area = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        printf("mmap: %s\n", strerror(errno));
        return;
    }
    for (size_t i = 0; i < 16; i++) area[i * page] = (char)i;
    printf("protect: %d\n", mprotect(area + 4 * page, 4 * page, PROT_READ));
    printf("unmap: %d\n", munmap(area + 8 * page, 2 * page));
    printf("discard: %d\n", madvise(area, 2 * page, MADV_DONTNEED));
    int sum = 0;
    for (size_t i = 0; i < 16; i++)
        if (i != 8 && i != 9) sum += area[i * page];
    printf("sum: %d\n", sum);
    printf("bad length: %s\n", munmap(area, 0) == -1 ? strerror(errno) : "accepted");
    printf("bad address: %s\n", mprotect(area + 1, page, PROT_READ) == -1 ? strerror(errno) : "accepted");
    void *none = mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("empty mapping: %s\n", none == MAP_FAILED ? strerror(errno) : "accepted");
}

int main(int argc, char **argv) {
    printf("arguments: %d", argc - 1);
    for (int i = 1; i < argc; i++) printf(" [%s]", argv[i]);
    putchar('\n');
    sorting();
    floats();
    allocating();
    mapping();
    printf("ackermann(2, 300) = %u\n", ackermann(2, 300));
    fprintf(stderr, "a word to standard error\n");
    return 42;
}
