/* Maps a gigabyte, written only by promise: what vm.overcommit_memory says to it. Prints its mode and two answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const char *map(int flags)
{
    void *at = mmap(0, 1ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (at == MAP_FAILED)
        return errno == ENOMEM ? "ENOMEM" : strerror(errno);
    munmap(at, 1ul << 30);
    return "ok";
}

int main(void)
{
    char mode[8] = "";
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    if (!file || !fgets(mode, sizeof mode, file))
        return 1;
    mode[strcspn(mode, "\n")] = 0;
    printf("%s %s", mode, map(0));
    printf(" %s\n", map(MAP_NORESERVE));
    return 0;
}
