// The whole of /proc/self/maps, as the normaliser makes it comparable.
#include "oracle.h"

int main(void) {
    begin();
    char *text = whole_file("/proc/self/maps");
    printf("%s", text);
    return end();
}
