// Prints files, each after its name, read in small pieces.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char piece[100];
        ssize_t got;
        int fd = open(argv[i], O_RDONLY);
        printf("== %s\n", argv[i]);
        fflush(stdout);
        while ((got = read(fd, piece, sizeof piece)) > 0)
            if (write(1, piece, got) != got)
                return 1;
        if (fd < 0 || got < 0)
            return 1;
        close(fd);
    }
    return 0;
}
