// What the oracle's programs share: calls printed with their errno's name, addresses printed relative to the window,
// touches whose signal is caught and told. Everything printed must be the same on every Linux that the case names.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul
// Linux looks for room from the top down and finds it before it comes here, so only what asks for the window gets there.
#define WINDOW 0x100000000000ul
#define WINDOW_SIZE (1024 * PAGE)
#define AT(page) ((char *)(WINDOW + (page) * PAGE))
#define R PROT_READ
#define W PROT_WRITE
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED_ANON (MAP_SHARED | MAP_ANONYMOUS)

// An address as both sides can say it: relative to the window, or only that it lies elsewhere.
static inline const char *place(const void *address) {
    static char text[4][32];
    static int next;
    char *out = text[next++ % 4];
    uintptr_t at = (uintptr_t)address;
    if (at >= WINDOW && at <= WINDOW + WINDOW_SIZE) {
        snprintf(out, sizeof text[0], "window+%lx", at - WINDOW);
    } else if (at < 16 * PAGE || at >= 0x7ffffffff000) {
        snprintf(out, sizeof text[0], "%lx", at);
    } else {
        return "elsewhere";
    }
    return out;
}

// The result of a call that gives a number: itself, or the errno's name.
static inline long told(const char *call, long result) {
    if (result == -1) {
        const char *name = strerrorname_np(errno);
        printf("%s: %s\n", call, name ? name : "an unknown errno");
    } else {
        printf("%s: %ld\n", call, result);
    }
    return result;
}

static inline char *told_place(const char *call, void *result) {
    if (result == MAP_FAILED) {
        told(call, -1);
    } else {
        printf("%s: %s\n", call, place(result));
    }
    return result;
}

#define TRY(call) told(#call, (long)(call))
#define PLACE(call) told_place(#call, (call))

// The last signal that a touch met.
static volatile struct {
    int number, code;
    uintptr_t address;
} caught;
static void *volatile resume_at;

static void catch_touch(int number, siginfo_t *info, void *context) {
    if (!resume_at) {
        // Not a touch of ours: let it kill.
        signal(number, SIG_DFL);
        return;
    }
    caught.number = number;
    caught.code = info->si_code;
    caught.address = (uintptr_t)info->si_addr;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)resume_at;
}

static inline void catch_touches(void) {
    struct sigaction action = {.sa_sigaction = catch_touch, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

// Reads a byte: its value, or -1 if a signal came. The handler goes on behind the instruction.
__attribute__((noinline, unused)) static long load(const volatile void *at) {
    long value = -1;
    caught.number = 0;
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rax, %1\n\tmovzbl (%2), %k0\n1:"
                     : "+r"(value), "=m"(resume_at)
                     : "r"(at)
                     : "rax", "memory");
    resume_at = NULL;
    return caught.number ? -1 : value;
}

// Writes a byte: 0, or -1 if a signal came.
__attribute__((noinline, unused)) static long store(volatile void *at, uint8_t value) {
    caught.number = 0;
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rax, %0\n\tmovb %2, (%1)\n1:"
                     : "=m"(resume_at)
                     : "r"(at), "q"(value)
                     : "rax", "memory");
    resume_at = NULL;
    return caught.number ? -1 : 0;
}

// Calls code at an address that returns at once: 0, or -1 if a signal came.
__attribute__((noinline, unused)) static long jump(void *at) {
    caught.number = 0;
    // What the call pushed is taken off again if the code was not run: the stack pointer comes back from a register.
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rax, %0\n\tmovq %%rsp, %%rbx\n\tsubq $256, %%rsp\n\tandq $-16, %%rsp\n\t"
                     "call *%1\n1:\tmovq %%rbx, %%rsp"
                     : "=m"(resume_at)
                     : "r"(at)
                     : "rax", "rbx", "memory");
    resume_at = NULL;
    return caught.number ? -1 : 0;
}

static inline const char *signal_text(void) {
    static char text[96];
    const char *code = "another code";
    if (caught.number == SIGSEGV) {
        code = caught.code == SEGV_MAPERR ? "SEGV_MAPERR" : caught.code == SEGV_ACCERR ? "SEGV_ACCERR" : code;
    } else if (caught.number == SIGBUS) {
        code = caught.code == BUS_ADRERR ? "BUS_ADRERR" : caught.code == BUS_ADRALN ? "BUS_ADRALN" : code;
    }
    snprintf(text, sizeof text, "SIG%s %s at %s", sigabbrev_np(caught.number), code, place((void *)caught.address));
    return text;
}

static inline void read_told(const char *text, const volatile void *at) {
    long value = load(at);
    if (value < 0) {
        printf("read %s: %s\n", text, signal_text());
    } else {
        printf("read %s: %ld\n", text, value);
    }
}

static inline void write_told(const char *text, volatile void *at, uint8_t value) {
    printf("write %s: %s\n", text, store(at, value) ? signal_text() : "done");
}

static inline void jump_told(const char *text, void *at) {
    printf("jump %s: %s\n", text, jump(at) ? signal_text() : "back");
}

#define READ(at) read_told(#at, (at))
#define WRITE(at, value) write_told(#at, (at), (value))
#define JUMP(at) jump_told(#at, (at))

// A whole file, such as one of /proc; ends the program if it cannot be read.
static inline char *whole_file(const char *path) {
    static char *text;
    size_t room = 1 << 16, length = 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        told(path, -1);
        exit(3);
    }
    free(text);
    text = malloc(room + 1);
    for (;;) {
        ssize_t got = read(fd, text + length, room - length);
        if (got < 0) {
            told(path, -1);
            exit(3);
        }
        if (got == 0) break;
        length += got;
        if (length == room) text = realloc(text, (room *= 2) + 1);
    }
    close(fd);
    text[length] = 0;
    return text;
}

// The window's rows of /proc/self/maps, without device, inode and folder.
static inline void show_maps(const char *when) {
    char *rest = whole_file("/proc/self/maps");
    printf("maps %s:\n", when);
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        unsigned long start, end, offset, inode;
        char rights[5], name[64] = "";
        if (sscanf(line, "%lx-%lx %4s %lx %*s %lu %63[^\n]", &start, &end, rights, &offset, &inode, name) < 5) {
            printf("  not understood: %s\n", line);
        } else if (start >= WINDOW && start < WINDOW + WINDOW_SIZE) {
            const char *file = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
            printf("  %lx-%lx %s %lx%s%s\n", start - WINDOW, end - WINDOW, rights, offset, *file ? " " : "", file);
        }
    }
}

// Pagemap's words for pages of the window, as letters: '.' nothing there, 'a' anonymous, 'z' the zero page, 'f' a file's
// or shared memory, 's' swapped; capital if the page is mapped only once.
static inline void show_pagemap(const char *when, const char *from, size_t pages) {
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (fd < 0) {
        told("/proc/self/pagemap", -1);
        exit(3);
    }
    printf("pagemap %s: ", when);
    for (size_t page = 0; page < pages; page++) {
        uint64_t word = 0;
        if (pread(fd, &word, 8, ((uintptr_t)from / PAGE + page) * 8) != 8) {
            told("pread", -1);
            exit(3);
        }
        int file = word >> 61 & 1, exclusive = word >> 56 & 1;
        putchar(word >> 62 & 1   ? 's'
                : !(word >> 63)  ? '.'
                : file           ? exclusive ? 'F' : 'f'
                : exclusive      ? 'A'
                                 : 'z');
    }
    printf("\n");
    close(fd);
}

// mincore's bytes for pages, one digit each.
static inline void show_mincore(const char *when, char *from, size_t pages) {
    unsigned char resident[1024];
    memset(resident, 0x7f, sizeof resident);
    if (TRY(mincore(from, pages * PAGE, resident)) == 0) {
        printf("mincore %s: ", when);
        for (size_t page = 0; page < pages; page++) printf("%d", resident[page] & 1);
        printf("\n");
    }
}

// One "Name:  NNN kB" of a text of /proc, in kB; -1 if it is not there.
static inline long field_of(const char *text, const char *name) {
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, name, length) && line[length] == ':') return atol(line + length + 1);
    }
    return -1;
}

static inline long status_field(const char *name) { return field_of(whole_file("/proc/self/status"), name); }

// The block of /proc/self/smaps for the VMA that begins at an address; NULL if there is none.
static inline char *smaps_of(const void *start) {
    char *text = whole_file("/proc/self/smaps"), key[32];
    snprintf(key, sizeof key, "%lx-", (unsigned long)start);
    char *block = text;
    while (block && strncmp(block, key, strlen(key))) {
        block = strchr(block, '\n');
        block += block ? 1 : 0;
    }
    if (block) {
        // Up to and with the line VmFlags, which is the last.
        char *end = strstr(block, "VmFlags:");
        end = end ? strchr(end, '\n') : NULL;
        if (end) *end = 0;
    }
    return block;
}

static inline long minor_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

// Called first: lines come out as they are printed, and huge pages stay away.
static inline void begin(void) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    catch_touches();
}

// A file in the current folder, already without a name, of so many bytes: page N is filled with 'a' + N.
static inline int scratch_file(size_t length) {
    char page[PAGE];
    int fd = open("scratch", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || unlink("scratch")) {
        told("scratch file", -1);
        exit(3);
    }
    for (size_t done = 0; done < length; done += PAGE) {
        size_t piece = length - done < PAGE ? length - done : PAGE;
        memset(page, 'a' + done / PAGE, PAGE);
        if (pwrite(fd, page, piece, done) != (ssize_t)piece) {
            told("scratch file", -1);
            exit(3);
        }
    }
    return fd;
}

// Anonymous memory at a page of the window, in place of what was there.
static inline char *fresh(size_t page, size_t pages, int rights) {
    char *at = mmap(AT(page), pages * PAGE, rights, ANON | MAP_FIXED, -1, 0);
    if (at != AT(page)) {
        told("fresh", -1);
        exit(3);
    }
    return at;
}

static inline void clear(void) { munmap((void *)WINDOW, WINDOW_SIZE); }

// The last line of every program: without it, it did not come to its end.
static inline int end(void) {
    printf("end\n");
    return 0;
}
