// Makes as many system calls that do nothing (getpid) as its argument says: for scripts/bench.sh.
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long calls = argc > 1 ? atol(argv[1]) : 0;
    for (long i = 0; i < calls; i++) syscall(SYS_getpid);
    return 0;
}
