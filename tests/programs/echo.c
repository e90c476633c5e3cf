// Prints its environment and its standard input.
#include <stdio.h>

extern char **environ;

int main(void) {
    for (char **variable = environ; *variable; variable++) puts(*variable);
    puts("--");
    for (int byte; (byte = getchar()) != EOF;) putchar(byte);
    return 0;
}
