// What makes an allocator work: blocks of all sizes in a shuffled order, a sort, numbers to text and back. Linked with
// glibc, musl, jemalloc and mimalloc; nothing printed depends on where the blocks lie.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 600, NUMBERS = 20000, ROUNDS = 8 };

struct block {
    unsigned char *bytes;
    size_t length;
    unsigned char fill;
};

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void *checked(void *block) {
    if (!block) {
        perror("allocating");
        exit(2);
    }
    return block;
}

static size_t some_length(void) {
    size_t top = (size_t)1 << (4 + next_random() % 11);
    return 1 + next_random() % (next_random() % 128 ? top : 200000);
}

static void fill(struct block *block) {
    block->fill = (unsigned char)next_random();
    block->length = some_length();
    block->bytes = checked(malloc(block->length));
    memset(block->bytes, block->fill, block->length);
}

static void check(const struct block *block, int index) {
    if (block->bytes[0] != block->fill || block->bytes[block->length - 1] != block->fill) {
        printf("block %d lost its bytes\n", index);
        exit(3);
    }
}

static void blocks(void) {
    static struct block all[BLOCKS];
    size_t in_use = 0, most = 0;
    for (int i = 0; i < BLOCKS; i++) {
        fill(&all[i]);
        in_use += all[i].length;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int step = 0; step < BLOCKS; step++) {
            int index = (int)(next_random() % BLOCKS);
            struct block *block = &all[index];
            check(block, index);
            in_use -= block->length;
            if (next_random() % 3) {
                free(block->bytes);
                fill(block);
            } else {
                size_t length = some_length(), kept = length < block->length ? length : block->length;
                block->bytes = checked(realloc(block->bytes, length));
                memset(block->bytes + kept, block->fill, length - kept);
                block->length = length;
            }
            in_use += block->length;
            if (in_use > most) most = in_use;
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        check(&all[i], i);
        free(all[i].bytes);
    }
    printf("blocks: %zu bytes at the end, %zu at most\n", in_use, most);
    unsigned char *zeros = checked(calloc(1 << 20, 1));
    unsigned long sum = 0;
    for (int i = 0; i < 1 << 20; i += 512) sum += zeros[i];
    printf("zeros: %lu\n", sum);
    free(zeros);
    void *aligned = NULL;
    for (size_t by = 16; by <= 65536; by *= 4) {
        if (posix_memalign(&aligned, by, 100) || (uintptr_t)aligned % by) printf("not aligned by %zu\n", by);
        free(aligned);
    }
}

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void numbers(void) {
    double *values = checked(malloc(NUMBERS * sizeof *values)), sum = 0;
    char text[64];
    for (int i = 0; i < NUMBERS; i++) {
        snprintf(text, sizeof text, "%d.%06de%d", (int)(next_random() % 2000) - 1000, (int)(next_random() % 1000000),
                 (int)(next_random() % 20) - 10);
        values[i] = strtod(text, NULL);
    }
    qsort(values, NUMBERS, sizeof *values, by_value);
    for (int i = 0; i < NUMBERS; i++) sum += values[i] / (i + 1);
    printf("numbers: %.17g %a %.10f %.3e\n", values[0], values[NUMBERS / 2], values[NUMBERS - 1], sum);
    free(values);
}

static void words(int count, char **args) {
    char *line = checked(strdup(""));
    for (int i = 1; i < count; i++) {
        line = checked(realloc(line, strlen(line) + strlen(args[i]) + 2));
        strcat(strcat(line, args[i]), "|");
    }
    printf("words: %s %ld %lu\n", line, strtol("-0x7fffffff", NULL, 16), strtoul("18446744073709551615", NULL, 10));
    free(line);
}

int main(int count, char **args) {
    blocks();
    numbers();
    words(count, args);
    fprintf(stderr, "done\n");
    return 5;
}
