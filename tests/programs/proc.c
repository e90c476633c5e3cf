// Maps things, reads what /proc says about them, and prints it with addresses relative to a window of its own.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define WINDOW (64 * PAGE)

static char text[1 << 18];
static char *window;

// The whole of a file, read in pieces of `piece` bytes.
static char *slurp(const char *path, size_t piece)
{
    int fd = open(path, O_RDONLY);
    size_t length = 0;
    ssize_t got = 0;
    if (fd < 0) {
        printf("%s: cannot be opened\n", path);
        exit(1);
    }
    while ((got = read(fd, text + length, piece)) > 0)
        length += got;
    if (got < 0 || length >= sizeof text - piece) {
        printf("%s: cannot be read\n", path);
        exit(1);
    }
    text[length] = 0;
    close(fd);
    return text;
}

static int in_window(unsigned long address)
{
    return address >= (unsigned long)window && address < (unsigned long)window + WINDOW;
}

// Lines of maps within the window; of others the rights and a name in brackets, but for those Linux itself adds.
static void show_maps(void)
{
    for (char *line = strtok(slurp("/proc/self/maps", 1000), "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long start, end, offset;
        char rights[5], device[16], name[256] = "";
        unsigned long inode;
        int fields = sscanf(line, "%lx-%lx %4s %lx %15s %lu %255s", &start, &end, rights, &offset, device, &inode, name);
        if (fields < 6) {
            printf("not a line of maps: %s\n", line);
        } else if (in_window(start)) {
            int column = name[0] ? (int)(strchr(line, '/') - line) : 0;
            printf("%lx-%lx %s %lx %s column %d\n", (start - (unsigned long)window) / PAGE,
                   (end - (unsigned long)window) / PAGE, rights, offset, inode ? "file" : device, column);
        } else if (strcmp(name, "[heap]") == 0 || strcmp(name, "[stack]") == 0) {
            printf("%s %s %s\n", rights, device, strchr(line, '['));
        }
    }
}

// Entries of smaps within the window. Whether a file's page is dirty or mapped elsewhere is its history's business.
static void show_smaps(void)
{
    int shown = 0;
    unsigned long inode = 0;
    for (char *line = strtok(slurp("/proc/self/smaps", 64), "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end, &inode) == 3)
            shown = in_window(start);
        else if (inode && (strncmp(line, "Pss", 3) == 0 || strncmp(line, "Shared", 6) == 0 || strncmp(line, "Private", 7) == 0))
            continue;
        else if (shown && strncmp(line, "THPeligible:", 12) != 0 && strncmp(line, "ProtectionKey:", 14) != 0)
            printf("  %s\n", line);
    }
}

static unsigned long value(const char *path, const char *name)
{
    char *found = slurp(path, 4096);
    size_t length = strlen(name);
    for (char *line = strtok(found, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return strtoul(line + length + 1, NULL, 10);
    printf("%s has no %s\n", path, name);
    return 0;
}

static void agree(const char *what, unsigned long one, unsigned long other)
{
    if (one == other)
        printf("%s: agreed\n", what);
    else
        printf("%s: %lu and %lu\n", what, one, other);
}

#define FIELDS 8
static const char *const fields[FIELDS] = {"Rss:", "Shared_Clean:", "Shared_Dirty:", "Private_Clean:", "Private_Dirty:",
                                           "Referenced:", "Anonymous:", "Swap:"};

// The sum of each field over the entries of smaps, or of smaps_rollup, which has one.
static void sum(const char *path, unsigned long sums[FIELDS])
{
    memset(sums, 0, FIELDS * sizeof *sums);
    for (char *line = strtok(slurp(path, 4096), "\n"); line; line = strtok(NULL, "\n"))
        for (int i = 0; i < FIELDS; i++)
            if (strncmp(line, fields[i], strlen(fields[i])) == 0)
                sums[i] += strtoul(line + strlen(fields[i]), NULL, 10);
}

static void show_sums(void)
{
    unsigned long sums[FIELDS], rollup[FIELDS];
    // The first reading may touch pages that the second counts.
    sum("/proc/self/smaps", sums);
    sum("/proc/self/smaps", sums);
    sum("/proc/self/smaps_rollup", rollup);
    for (int i = 0; i < FIELDS; i++)
        agree(fields[i], sums[i], rollup[i]);
    agree("RssAnon", value("/proc/self/status", "RssAnon"), sums[6]);
    unsigned long size, resident, shared, code, library, data;
    sscanf(slurp("/proc/self/statm", 4096), "%lu %lu %lu %lu %lu %lu", &size, &resident, &shared, &code, &library, &data);
    agree("size", size * 4, value("/proc/self/status", "VmSize"));
    agree("data", data * 4, value("/proc/self/status", "VmData") + value("/proc/self/status", "VmStk"));
    unsigned long bytes = 0;
    char state = 0;
    sscanf(strrchr(slurp("/proc/self/stat", 4096), ')') + 2,
           "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %lu", &state, &bytes);
    printf("state %c\n", state);
    agree("vsize", bytes, value("/proc/self/status", "VmSize") * 1024);
}

// Bits of a page's word in pagemap: present, file, exclusive.
static void show_pagemap(const char *what, void *address)
{
    uint64_t word = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    ssize_t got = pread(fd, &word, sizeof word, (uintptr_t)address / PAGE * sizeof word);
    close(fd);
    printf("%s: %d bytes, present %d file %d exclusive %d swapped %d\n", what, (int)got, (int)(word >> 63),
           (int)(word >> 61 & 1), (int)(word >> 56 & 1), (int)(word >> 62 & 1));
}

static void show_arguments(int argc, char **argv)
{
    char *line = slurp("/proc/self/cmdline", 7);
    for (int i = 1; i < argc; i++) {
        line += strlen(line) + 1;
        printf("argument %s %s\n", line, strcmp(line, argv[i]) == 0 ? "agreed" : "differs");
    }
    printf("comm %s", slurp("/proc/self/comm", 4096));
    uint64_t *pair = (uint64_t *)slurp("/proc/self/auxv", 4096);
    for (; pair[0] != 0; pair += 2)
        if (pair[0] == 6)
            printf("AT_PAGESZ %lu\n", (unsigned long)pair[1]);
}

static void show_files(void)
{
    static const char *files[] = {"meminfo", "buddyinfo", "zoneinfo", "vmstat", "filesystems", "cpuinfo", "stat",
                                  "uptime", "loadavg", "version", "mounts", "swaps", "sys/vm/overcommit_memory",
                                  "sys/vm/max_map_count", "sys/kernel/ostype", "self/limits", "self/mountinfo",
                                  "self/environ", "self/oom_score_adj", "sys/kernel/random/boot_id"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%s", files[i]);
        size_t whole = strlen(slurp(path, 4096));
        size_t length = strlen(slurp(path, 100));
        int fd = open(path, O_RDONLY);
        char beyond;
        ssize_t end = pread(fd, &beyond, 1, 1 << 20);
        close(fd);
        printf("%s %s, beyond its end %d\n", files[i], whole > 0 && length > 0 ? "has text" : "is empty", (int)end);
    }
}

int main(int argc, char **argv)
{
    window = mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *touched = mmap(window + 4 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    char *read_only = mmap(window + 20 * PAGE, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    int fd = open("/proc/self/exe", O_RDONLY);
    char *file = mmap(window + 30 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
    char *copy = mmap(window + 40 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
    if (window == MAP_FAILED || touched == MAP_FAILED || read_only == MAP_FAILED || file == MAP_FAILED || copy == MAP_FAILED)
        return 1;
    mmap(window + 50 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    free(malloc(1000));
    touched[0] = touched[PAGE] = touched[5 * PAGE] = 1;
    mprotect(touched + 5 * PAGE, PAGE, PROT_READ);
    volatile char seen = read_only[0] + touched[2 * PAGE] + file[0];
    copy[0] = seen;

    show_maps();
    show_smaps();
    show_sums();
    show_pagemap("written", touched);
    show_pagemap("read, the zero page", read_only);
    show_pagemap("untouched", touched + 3 * PAGE);
    show_pagemap("a file's", file);
    show_pagemap("a private copy", copy);
    show_pagemap("a hole", window + 60 * PAGE);
    show_pagemap("beyond the end", (void *)0x800000000000);
    show_arguments(argc, argv);
    show_files();
    return 0;
}
