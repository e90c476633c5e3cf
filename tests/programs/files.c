/* Reads a file and maps it privately: what it finds must be what Linux finds. Prints no address. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned sum(const unsigned char *bytes, size_t length) {
    unsigned total = 0;
    for (size_t i = 0; i < length; i++)
        total = total * 31 + bytes[i];
    return total;
}

static void attempt(const char *what, long result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "worked");
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    int fd = open(argv[1], O_RDONLY);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0) {
        perror(argv[1]);
        return 1;
    }
    printf("fd %d, size %ld, regular %d, mode %o\n", fd, (long)about.st_size, S_ISREG(about.st_mode),
           about.st_mode & 0777);

    unsigned char buffer[1000];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        printf("read %zd: %08x\n", got, sum(buffer, got));
    printf("at the end: %zd, position %ld\n", got, (long)lseek(fd, 0, SEEK_CUR));
    printf("back by 5: %ld\n", (long)lseek(fd, -5, SEEK_END));
    got = read(fd, buffer, sizeof buffer);
    printf("read %zd\n", got);
    got = pread(fd, buffer, 10, 4090);
    printf("pread %zd: %08x\n", got, sum(buffer, got));
    attempt("before the start", lseek(fd, -1, SEEK_SET));
    attempt("seek in a pipe", lseek(1, 0, SEEK_CUR));
    attempt("read of standard output", read(1, buffer, 1));
    attempt("read of a closed descriptor", read(77, buffer, 1));
    attempt("write to it", write(fd, "x", 1));
    attempt("no such file", open("/no/such/file", O_RDONLY));

    size_t length = (about.st_size + 4095) / 4096 * 4096;
    unsigned char *map = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    unsigned char *again = mmap(0, length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED || again == MAP_FAILED)
        return 3;
    printf("mapped: %08x\n", sum(map, length));
    map[0] ^= 0xff;
    map[length - 1] = 7;
    printf("after a write: %08x, the file: %08x\n", sum(map, length), sum(again, length));
    attempt("shared and writable", (long)mmap(0, 4096, PROT_WRITE, MAP_SHARED, fd, 0));
    attempt("an offset inside a page", (long)mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 100));
    unsigned char *second = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 4096);
    printf("second page: %08x\n", sum(second, 4096));
    attempt("advice", madvise(map, length, MADV_DONTNEED));
    printf("as it was: %08x\n", sum(map, length));
    attempt("close", close(fd));
    attempt("close again", close(fd));
    printf("still mapped: %08x\n", sum(again, length));
    return 0;
}
