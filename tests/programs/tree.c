// File calls in a directory of their own: what each answers, with errno, so that Linux and the lab can be compared.
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wunused-result"
#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long tell(const char *what, long result) {
    int error = errno;
    if (result < 0)
        printf("%s: %ld %s\n", what, result, strerrorname_np(error));
    else
        printf("%s: %ld\n", what, result);
    return result;
}
#define T(call) tell(#call, (long)(call))
// Descriptors are compared by whether they are there.
#define FD(name, call)                                                                                                 \
    int name = (call);                                                                                                 \
    tell(#call, name < 0 ? name : 0)

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    char *names[4096];
    int count = 0;
    DIR *directory = opendir(path);
    if (!directory) {
        tell("opendir", -1);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        char text[300];
        snprintf(text, sizeof text, "%s/%d", entry->d_name, entry->d_type);
        names[count++] = strdup(text);
    }
    closedir(directory);
    qsort(names, count, sizeof *names, compare);
    printf("%s:", path);
    for (int i = 0; i < count && i < 12; i++)
        printf(" %s", names[i]);
    printf(" (%d)\n", count);
    for (int i = 0; i < count; i++)
        free(names[i]);
}

static void show(const char *path) {
    struct stat s;
    if (lstat(path, &s) < 0)
        tell(path, -1);
    else
        printf("%s: mode %o links %ld size %ld uid %d\n", path, s.st_mode, S_ISDIR(s.st_mode) ? 0L : (long)s.st_nlink,
               S_ISDIR(s.st_mode) ? 0L : (long)s.st_size, s.st_uid == getuid());
}

static void paths(void) {
    char text[5000];
    T(mkdir("a", 0755));
    T(mkdir("a", 0755));
    T(mkdir("a/b/c", 0755));
    T(mkdir("a/b/", 0700));
    T(mkdir("a/b/..", 0700));
    T(chdir("a/b"));
    T(chdir("missing"));
    T(strcmp(strrchr(getcwd(text, sizeof text), '/'), "/b"));
    T(getcwd(text, 2) ? 0 : -1);
    T(chdir("../.."));
    FD(file, open("a/file", O_RDWR | O_CREAT | O_EXCL, 0640));
    T(open("a/file", O_RDWR | O_CREAT | O_EXCL, 0640));
    T(open("a/file/", O_RDONLY));
    T(open("a/new/", O_RDWR | O_CREAT, 0640));
    T(open("a/file/x", O_RDONLY));
    T(open("a", O_WRONLY));
    T(open("a", O_RDONLY | O_CREAT, 0600));
    T(open("a/file", O_RDONLY | O_DIRECTORY));
    T(open("missing", O_RDONLY));
    T(open("", O_RDONLY));
    T(open((char *)-1, O_RDONLY));
    memset(text, 'x', sizeof text);
    text[300] = 0;
    T(open(text, O_RDONLY | O_CREAT, 0600));
    text[300] = 'x', text[4999] = 0;
    T(open(text, O_RDONLY));
    T(symlink("file", "a/link"));
    T(symlink("file", "a/link"));
    T(symlink("", "a/empty"));
    T(symlink("loop", "a/loop"));
    T(symlink("../a/b", "a/to-b"));
    T(symlink("nowhere", "a/dangling"));
    T(open("a/loop", O_RDONLY));
    T(open("a/link", O_RDONLY | O_NOFOLLOW));
    T(open("a/dangling", O_RDONLY));
    T(open("a/dangling", O_RDONLY | O_CREAT | O_EXCL, 0600));
    FD(through, open("a/dangling", O_RDWR | O_CREAT, 0600));
    show("a/nowhere");
    T(mkdir("a/to-b/inside", 0711));
    show("a/b/inside");
    show("a/to-b");
    show("a/to-b/");
    T(readlink("a/to-b", text, sizeof text));
    T(readlink("a/to-b", text, 2));
    T(readlink("a/file", text, 10));
    T(readlink("a/to-b", text, 0));
    T(rmdir("a/to-b"));
    T(rmdir("a"));
    T(rmdir("a/b/."));
    T(rmdir("a/b/.."));
    T(unlink("a/b"));
    T(unlink("a/missing"));
    T(unlink("a/file/"));
    T(access("a/file", R_OK | W_OK));
    T(access("a/file", 8));
    T(access("a/b", X_OK));
    T(link("a/file", "a/hard"));
    T(link("a/file", "a/hard"));
    T(link("a/b", "a/hard-b"));
    T(link("a/link", "a/hard-link"));
    show("a/hard");
    show("a/hard-link");
    T(rename("a/hard", "a/moved"));
    T(rename("a/missing", "a/x"));
    T(rename("a/b", "a/b/inside/x"));
    T(rename("a/b/inside", "a/b"));
    T(rename("a/file", "a/b"));
    T(rename("a/b", "a/file"));
    T(rename("a/moved", "a/file"));
    show("a/moved");
    T(renameat2(AT_FDCWD, "a/moved", AT_FDCWD, "a/link", RENAME_NOREPLACE));
    T(renameat2(AT_FDCWD, "a/moved", AT_FDCWD, "a/b", RENAME_EXCHANGE));
    show("a/b");
    list("a");
    list("a/moved");
    T(rename("a/moved", "b"));
    T(chdir("b/inside"));
    T(strcmp(strrchr(getcwd(text, sizeof text), '/'), "/inside"));
    T(rmdir("../inside"));
    T(getcwd(text, sizeof text) ? 0 : -1);
    T(open("x", O_RDWR | O_CREAT, 0600));
    T(chdir(".."));
    T(chdir(".."));
    show("b");
    T(fchmod(file, 0604));
    T(chmod("a/link", 0666));
    show("a/file");
    T(close(through));
    T(close(file));
    T(close(file));
}

static void contents(void) {
    char text[9000];
    memset(text, 'y', sizeof text);
    FD(fd, open("data", O_RDWR | O_CREAT | O_TRUNC, 0600));
    T(write(fd, text, 5000));
    T(lseek(fd, 0, SEEK_CUR));
    T(lseek(fd, -6000, SEEK_END));
    T(lseek(fd, 20000, SEEK_SET));
    T(write(fd, "end", 3));
    T(lseek(fd, 0, SEEK_END));
    T(pread(fd, text, 9000, 4995));
    T(text[4] == 'y' && text[5] == 0 && text[8999] == 0);
    T(pread(fd, text, 10, 20001));
    T(pread(fd, text, 10, -1));
    T(pread(fd, text, 10, 30000));
    T(pwrite(fd, "abc", 3, 4094));
    T(pread(fd, text, 5, 4093));
    printf("%.5s\n", text);
    T(ftruncate(fd, 4095));
    T(ftruncate(fd, -1));
    T(ftruncate(fd, 10000));
    T(pread(fd, text, 10, 4090));
    printf("%.5s %d\n", text, text[5]);
    struct iovec parts[3] = {{text, 3}, {text + 100, 0}, {text + 200, 4}};
    T(lseek(fd, 4088, SEEK_SET));
    T(readv(fd, parts, 3));
    printf("%.3s %.4s\n", text, text + 200);
    T(preadv(fd, parts, 3, 4090));
    T(pwritev(fd, parts, 3, 50));
    T(readv(fd, parts, -1));
    T(readv(fd, parts, 1025));
    T(readv(fd, (void *)-1, 1));
    T(write(fd, (void *)-1, 1));
    T(write(fd, 0, 1));
    T(write(fd, 0, 0));
    T(read(fd, 0, 10));
    T(lseek(fd, 0, 99));
    FD(append, open("data", O_WRONLY | O_APPEND));
    T(write(append, "tail", 4));
    T(read(append, text, 1));
    T(lseek(append, 0, SEEK_CUR));
    T(pread(fd, text, 10, 9998));
    FD(reader, open("data", O_RDONLY));
    T(write(reader, "x", 1));
    T(ftruncate(reader, 0));
    T(fcntl(append, F_GETFL) & ~O_LARGEFILE);
    T(fcntl(append, F_SETFL, O_NONBLOCK));
    T(fcntl(append, F_GETFL) & ~0100000);
    // A mapping and the calls see the same bytes.
    char *map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    T(map == MAP_FAILED);
    memcpy(map + 4094, "MAPPED", 6);
    T(pread(reader, text, 6, 4094));
    printf("%.6s\n", text);
    T(pwrite(fd, "CALL", 4, 10));
    printf("%.4s\n", map + 10);
    char *private = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
    memcpy(private, "mine", 4);
    T(pread(reader, text, 4, 10));
    printf("%.4s %.4s\n", text, private);
    // The descriptors go, the file's name goes, the mapping stays.
    T(close(fd));
    T(unlink("data"));
    printf("%.4s\n", map + 10);
    struct stat s;
    T(fstat(reader, &s));
    printf("links %ld size %ld\n", (long)s.st_nlink, (long)s.st_size);
    T(munmap(map, 8192));
    T(pread(reader, text, 4, 4094));
    FD(target, open("copy", O_RDWR | O_CREAT, 0600));
    off_t from = 4090;
    T(sendfile(target, reader, &from, 20));
    printf("%ld\n", (long)from);
    loff_t in = 0, out = 100;
    T(copy_file_range(reader, &in, target, &out, 5000, 0));
    T(lseek(target, 0, SEEK_END));
    T(unlink("copy"));
}

static void limits(void) {
    struct rlimit limit = {100, RLIM_INFINITY};
    FD(fd, open("limited", O_RDWR | O_CREAT, 0600));
    T(setrlimit(RLIMIT_FSIZE, &limit));
    char text[200] = {0};
    T(write(fd, text, 200));
    limit.rlim_cur = RLIM_INFINITY;
    T(setrlimit(RLIMIT_FSIZE, &limit));
    T(unlink("limited"));
    struct rlimit files = {20, 0}, old;
    T(getrlimit(RLIMIT_NOFILE, &old));
    files.rlim_max = old.rlim_max;
    T(setrlimit(RLIMIT_NOFILE, &files));
    int opened = 0, last = -1;
    for (int next; (next = dup(fd)) >= 0; opened++)
        last = next;
    tell("dup at the limit", -1);
    T(last);
    T(dup2(fd, 20));
    T(fcntl(fd, F_DUPFD, 20));
    T(close_range(3, ~0U, 0));
    T(dup2(1, 19));
    T(fcntl(1, F_DUPFD_CLOEXEC, 5));
    T(fcntl(5, F_GETFD));
    T(dup3(1, 1, 0));
    T(dup2(1, 1));
    T(dup2(77, 1));
    setrlimit(RLIMIT_NOFILE, &old);
}

static void pipes(void) {
    static char text[70000];
    int ends[2];
    T(pipe2(ends, O_NONBLOCK));
    T(pipe2(ends, 1));
    T(read(ends[0], text, 10));
    T(read(ends[0], text, 0));
    T(write(ends[1], text, 70000));
    T(write(ends[1], text, 1));
    int bytes = 0;
    T(ioctl(ends[0], FIONREAD, &bytes));
    printf("%d\n", bytes);
    T(read(ends[0], text, 4096));
    T(write(ends[1], text, 5000));
    T(read(ends[0], text, 70000));
    for (int i = 0; i < 3; i++)
        T(write(ends[1], "part", 4));
    T(read(ends[0], text, 6));
    T(read(ends[0], text, 100));
    T(fcntl(ends[0], F_GETPIPE_SZ));
    T(lseek(ends[0], 0, SEEK_SET));
    T(pread(ends[0], text, 1, 0));
    T(write(ends[0], text, 1));
    T(read(ends[1], text, 1));
    struct pollfd polled[4] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {77, POLLIN, 0}, {-1, POLLIN, 0}};
    T(poll(polled, 4, 0));
    printf("%x %x %x %x\n", polled[0].revents, polled[1].revents, polled[2].revents, polled[3].revents);
    T(write(ends[1], "x", 1));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    T(select(ends[0] + 1, &set, 0, 0, 0));
    T(close(ends[1]));
    T(poll(polled, 1, -1));
    printf("%x\n", polled[0].revents);
    T(read(ends[0], text, 10));
    T(read(ends[0], text, 10));
    T(close(ends[0]));
    struct timeval soon = {0, 1000};
    T(select(0, 0, 0, 0, &soon));
    T(ioctl(1, TIOCGWINSZ, text));
}

static void specials(void) {
    char text[100];
    FD(zero, open("/dev/zero", O_RDWR));
    memset(text, 'x', sizeof text);
    T(read(zero, text, 10));
    T(text[9] == 0 && text[10] == 'x');
    T(write(zero, text, 10));
    FD(null, open("/dev/null", O_RDWR));
    T(read(null, text, 10));
    T(write(null, (char *)8, 10));
    FD(full, open("/dev/full", O_RDWR));
    T(write(full, text, 10));
    struct stat s;
    T(stat("/dev/null", &s));
    printf("%o %lx\n", s.st_mode, (long)s.st_rdev);
    T(open("/dev/tty", O_RDONLY) >= 0 || errno == ENXIO);
    char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    T(map != MAP_FAILED && map[0] == 0);
    T(mmap(0, 4096, PROT_READ, MAP_PRIVATE, null, 0) == MAP_FAILED);
    FD(memory, memfd_create("name", MFD_ALLOW_SEALING));
    T(memfd_create("name", 0x80));
    T(ftruncate(memory, 8192));
    T(readlink("/proc/self/fd/-1", text, 100));
    snprintf(text, sizeof text, "/proc/self/fd/%d", memory);
    char link[100] = {0};
    T(readlink(text, link, 99));
    puts(link);
    FD(again, open(text, O_RDWR));
    T(pwrite(again, "both", 4, 5000));
    T(pread(memory, link, 4, 5000));
    printf("%.4s\n", link);
    T(lseek(memory, 0, SEEK_DATA));
    T(lseek(memory, 0, SEEK_HOLE));
    T(lseek(memory, 4096, SEEK_HOLE));
    T(lseek(memory, 8192, SEEK_DATA));
    T(fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    T(pread(memory, link, 4, 5000));
    T(link[0]);
    T(fallocate(memory, 0, 0, 20000));
    T(fstat(memory, &s));
    printf("%ld %ld\n", (long)s.st_size, (long)s.st_blocks);
    T(fallocate(memory, FALLOC_FL_PUNCH_HOLE, 0, 4096));
    T(fallocate(memory, 0, 0, 0));
    T(fcntl(memory, F_GET_SEALS));
    T(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK));
    T(ftruncate(memory, 4096));
    T(ftruncate(memory, 30000));
    T(fcntl(memory, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL));
    T(ftruncate(memory, 40000));
    T(pwrite(memory, "x", 1, 50000));
    T(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE));
    T(open(".", O_TMPFILE | O_RDONLY, 0600));
}

static void many(void) {
    char name[40];
    T(mkdir("many", 0755));
    T(chdir("many"));
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%s-%d", i % 2 ? "a-name-longer-than-thirty-bytes" : "short", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || write(fd, name, strlen(name)) < 0 || close(fd) < 0)
            tell(name, -1);
    }
    list(".");
    // A listing goes on while what it lists goes away.
    DIR *directory = opendir(".");
    int removed = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && unlink(entry->d_name) == 0)
            removed++;
    T(removed);
    closedir(directory);
    list(".");
    T(chdir(".."));
    T(rmdir("many"));
}

// The file of the program that runs can be read, but not written.
static void own(void) {
    T(open("/proc/self/exe", O_WRONLY));
    T(open("/proc/self/exe", O_RDWR));
    T(open("/proc/self/exe", O_RDONLY | O_TRUNC));
    T(truncate("/proc/self/exe", 0));
    FD(self, open("/proc/self/exe", O_RDONLY));
    T(ftruncate(self, 0));
    close(self);
}

int main(int argc, char **argv) {
    if (argc != 2 || chdir(argv[1]) < 0)
        return 1;
    umask(022);
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    paths();
    contents();
    pipes();
    specials();
    many();
    own();
    fflush(stdout);
    if (sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, 0) == 0)
        limits();
    fflush(stdout);
    return 0;
}
