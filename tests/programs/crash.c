// Ways to die with a backtrace that is known, by name: `crash WAY`. Lines that a backtrace must name end in a mark.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    long value;
    struct node *next;
};

static inline __attribute__((always_inline)) void store(struct node *node, long value) {
    node->value = value; // mark: store
}

__attribute__((noipa)) static void append(struct node *list, long value) {
    store(list->next, value); // mark: append
    asm volatile("" ::: "memory");
}

__attribute__((noipa)) static void invoke(void (*function)(void)) {
    function(); // mark: invoke
    asm volatile("" ::: "memory");
}

__attribute__((noipa)) static void give_up(void) {
    abort(); // mark: give_up
}

static void handle(int signal) {
    struct node list = {0, NULL};
    append(&list, signal); // mark: handle
}

__attribute__((noipa)) static int dive(int depth) {
    volatile char room[200];
    room[depth % 200] = 1;
    if (depth < 0) return 0;
    return dive(depth + 1) + room[depth % 100]; // mark: dive
}

int main(int argc, char **argv) {
    struct node list = {0, NULL};
    const char *way = argc > 1 ? argv[1] : "";
    printf("about to die: %s\n", way);
    fflush(stdout);
    if (!strcmp(way, "null")) append(&list, 42); // mark: main
    if (!strcmp(way, "call")) invoke(NULL);
    if (!strcmp(way, "abort")) give_up();
    if (!strcmp(way, "handler")) {
        signal(SIGUSR1, handle);
        raise(SIGUSR1); // mark: raise
    }
    if (!strcmp(way, "dive")) return dive(argc);
    return 77;
}
