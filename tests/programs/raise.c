/* Sends itself signals: what does nothing, what cannot be sent, and at last abort(). */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void attempt(const char *what, long result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "worked");
    fflush(stdout);
}

int main(int argc, char **argv) {
    attempt("nothing", kill(getpid(), 0));
    attempt("ignored by default", raise(SIGCHLD));
    attempt("to the group", kill(0, SIGWINCH));
    attempt("no such signal", kill(getpid(), 65));
    attempt("no such thread", syscall(SYS_tgkill, getpid(), 0x3ffffff, SIGTERM));
    attempt("an impossible thread", syscall(SYS_tkill, -5, SIGTERM));
    if (argc > 1)
        raise(atoi(argv[1]));
    abort();
}
