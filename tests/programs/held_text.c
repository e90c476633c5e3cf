// Keeps a text of /proc open that is longer than a page, and prints what the kernel says of its own memory meanwhile.
#include <fcntl.h>
#include <unistd.h>

static int copy(const char *path)
{
    char piece[4096];
    ssize_t got;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 1;
    while ((got = read(fd, piece, sizeof piece)) > 0)
        if (write(1, piece, got) != got)
            return 1;
    close(fd);
    return got < 0;
}

int main(void)
{
    char byte;
    int held = open("/proc/zoneinfo", O_RDONLY);
    if (held < 0 || read(held, &byte, 1) != 1)
        return 1;
    return copy("/proc/vmallocinfo") || copy("/proc/meminfo");
}
