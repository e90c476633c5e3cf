// Runs a script of memory operations from standard input and prints what each did: one line an operation, the window's
// state where the script asks for it. tests/src/oracle/sequence writes the scripts and compares what Linux and the lab say.
//
// A line is a letter and hexadecimal numbers. A page below HEAP_PAGES is the window's, one above the heap's. Nothing
// here allocates: the heap is the script's.
#include "oracle.h"

#define HEAP_PAGES 0x10000ul
#define HEAP_ROOM 64ul
#define FILES 3
#define FILE_LENGTH (6 * PAGE + PAGE / 2)

static char out[1 << 16];
static size_t out_length;
static char script[8 << 20];
static char text[1 << 18];
static uintptr_t heap;
// A memfd, a file, and the file once more for reading only.
static int files[FILES];
static int pagemap;

static void flush(void) {
    for (size_t done = 0; done < out_length;) {
        ssize_t written = write(1, out + done, out_length - done);
        if (written <= 0) _exit(4);
        done += written;
    }
    out_length = 0;
}

static void put(const char *what) {
    size_t length = strlen(what);
    if (out_length + length > sizeof out) flush();
    memcpy(out + out_length, what, length);
    out_length += length;
}

static void put_hex(uint64_t number) {
    char digits[17], *at = digits + 16;
    *at = 0;
    do {
        *--at = "0123456789abcdef"[number & 15];
    } while (number >>= 4);
    put(at);
}

// An address, relative to what it lies in.
static void put_place(uintptr_t at) {
    if (at >= WINDOW && at <= WINDOW + WINDOW_SIZE) {
        put("w+");
        put_hex(at - WINDOW);
    } else if (at >= heap && at <= heap + HEAP_ROOM * PAGE) {
        put("h+");
        put_hex(at - heap);
    } else {
        put("elsewhere");
    }
}

static void put_errno(void) {
    const char *name = strerrorname_np(errno);
    put(name ? name : "an unknown errno");
}

static void put_result(long result) {
    if (result == -1) {
        put_errno();
    } else {
        put_hex(result);
    }
}

// Where a mapping went. One outside of the window and the heap is each side's own affair: it is taken back at once.
static void put_mapping(void *at, size_t length) {
    if (at == MAP_FAILED) {
        put_errno();
        return;
    }
    uintptr_t start = (uintptr_t)at;
    put_place(start);
    if (!(start >= WINDOW && start < WINDOW + WINDOW_SIZE) && !(start >= heap && start < heap + HEAP_ROOM * PAGE)) {
        if (munmap(at, length)) put(" which cannot be unmapped");
    }
}

static char *at(uint64_t page) {
    return page < HEAP_PAGES ? AT(page) : (char *)heap + (page - HEAP_PAGES) * PAGE;
}

static uint64_t pagemap_word(const char *address) {
    uint64_t word = 0;
    if (pread(pagemap, &word, 8, (uintptr_t)address / PAGE * 8) != 8) _exit(5);
    return word;
}

// What pagemap says of a page. A file's page is not told: Linux maps its neighbours along with it (fault-around).
static char page_letter(uint64_t word) {
    return word >> 62 & 1 ? 's' : !(word >> 63) || word >> 61 & 1 ? '.' : word >> 56 & 1 ? 'a' : 'z';
}

// A byte is read or written; then what came of it, and how many faults it took where the page is anonymous.
static void touch(char *address, int write, uint8_t value) {
    long before = minor_faults(), result = write ? store(address, value) : load(address), after = minor_faults();
    if (result < 0) {
        put(caught.number == SIGBUS ? "SIGBUS " : "SIGSEGV ");
        put_hex(caught.code);
        put(" ");
        put_place(caught.address);
        return;
    }
    put_hex(result);
    char letter = page_letter(pagemap_word(address));
    if (letter != '.') {
        char more[] = {' ', letter, 0};
        put(more);
        put("+");
        put_hex(after - before);
    }
}

static void residency(char *from, size_t length) {
    unsigned char resident[WINDOW_SIZE / PAGE];
    memset(resident, 2, sizeof resident);
    long result = mincore(from, length, resident);
    put_result(result);
    put(" ");
    for (size_t page = 0; page < sizeof resident && resident[page] != 2; page++) put(resident[page] & 1 ? "1" : "0");
}

// A whole text of /proc.
static char *proc_text(const char *path) {
    size_t length = 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        put(path);
        put(" cannot be opened\n");
        text[0] = 0;
        return text;
    }
    for (ssize_t got; length < sizeof text - 1 && (got = read(fd, text + length, sizeof text - 1 - length)) > 0;) {
        length += got;
    }
    close(fd);
    text[length] = 0;
    return text;
}

static uint64_t hex(char **at) {
    uint64_t number = 0;
    for (;; ++*at) {
        char digit = **at;
        if (digit >= '0' && digit <= '9') {
            number = number << 4 | (digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            number = number << 4 | (digit - 'a' + 10);
        } else {
            return number;
        }
    }
}

// The first pages of a VMA, a letter each, to the last that has one.
static void put_pages(uintptr_t start, uintptr_t end) {
    uint64_t words[64] = {0};
    char letters[65];
    size_t length = (end - start) / PAGE < 64 ? (end - start) / PAGE : 64, last = 0;
    if (pread(pagemap, words, length * 8, start / PAGE * 8) != (ssize_t)(length * 8)) _exit(5);
    for (size_t page = 0; page < length; page++) {
        letters[page] = page_letter(words[page]);
        if (letters[page] != '.') last = page + 1;
    }
    letters[last] = 0;
    put(letters);
}

// The VMAs of the window and the heap's room, from maps or smaps, each with its pages.
static void state(int with_flags) {
    char *rest = proc_text(with_flags ? "/proc/self/smaps" : "/proc/self/maps");
    int ours = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        char *cursor = line;
        uintptr_t start = hex(&cursor), end = *cursor == '-' ? (cursor++, hex(&cursor)) : 0;
        if (cursor > line && *cursor == ' ' && end) {
            uintptr_t low = start < heap && end > heap ? heap : start;
            ours = (low >= WINDOW && low < WINDOW + WINDOW_SIZE) || (low >= heap && low < heap + HEAP_ROOM * PAGE);
            if (!ours) continue;
            // " rights offset device inode name"
            char *rights = strsep(&cursor, " ") ? strsep(&cursor, " ") : "", *offset = strsep(&cursor, " ");
            char *device = strsep(&cursor, " "), *inode = strsep(&cursor, " ");
            if (!device || !inode) {
                put("\n not understood");
                continue;
            }
            put("\n ");
            put_place(low);
            put("-");
            put_place(end);
            put(" ");
            put(rights);
            put(" ");
            // Of anonymous memory maps tells 0 in private mappings.
            put(offset);
            put(strcmp(inode, "0") ? " file " : " ");
            if (cursor && strstr(cursor, "[heap]")) put("[heap] ");
            put_pages(low, end);
        } else if (ours && !strncmp(line, "Anonymous:", 10)) {
            put(" anonymous ");
            char *number = line + 10 + strspn(line + 10, " ");
            put(number);
        } else if (ours && !strncmp(line, "VmFlags:", 8)) {
            // Those that do not depend on how Linux was built.
            char *flags = line + 8;
            for (char *flag; (flag = strsep(&flags, " "));) {
                if (*flag && strstr("rd wr ex sh mr mw me ms gd lo sr rr ac nr dc de dd wf hg nh", flag)) {
                    put(" ");
                    put(flag);
                }
            }
        }
    }
    put("\n locked ");
    char *locked = strstr(proc_text("/proc/self/status"), "VmLck:");
    put_hex(locked ? strtoul(locked + 6, NULL, 10) : 0xdead);
}

// Everything as it was at the start.
static void reset(void) {
    munmap((void *)WINDOW, WINDOW_SIZE);
    uintptr_t end = (uintptr_t)sbrk(0);
    // A brk over nothing but holes is refused: fill them first.
    munmap((void *)heap, HEAP_ROOM * PAGE);
    if (end > heap) mmap((void *)heap, end - heap, RW, ANON | MAP_FIXED, -1, 0);
    if (brk((void *)heap) || (uintptr_t)sbrk(0) != heap) put(" the heap does not go back");
    for (int file = 0; file < 2; file++) {
        if (ftruncate(files[file], 0) || ftruncate(files[file], FILE_LENGTH)) put(" ftruncate fails");
        // Every other page of the memfd is a hole.
        for (uint64_t page = 0; page * PAGE < FILE_LENGTH; page += 2 - file) {
            uint8_t byte = 0x10 * (file + 1) + page;
            if (pwrite(files[file], &byte, 1, page * PAGE) != 1) put(" pwrite fails");
        }
    }
}

static void run(char letter, const uint64_t *n) {
    uint8_t byte = 0;
    switch (letter) {
    case 'e':
        reset();
        flush();
        break;
    // page skew length rights flags file file-page
    case 'm':
        put_mapping(mmap(at(n[0]) + n[1], n[2], n[3], n[4], n[5] < FILES ? files[n[5]] : -1, n[6] * PAGE),
                    (n[2] + PAGE - 1) & -PAGE);
        break;
    // page skew length
    case 'u':
        put_result(munmap(at(n[0]) + n[1], n[2]));
        break;
    // page skew length rights
    case 'p':
        put_result(mprotect(at(n[0]) + n[1], n[2], n[3]));
        break;
    // page skew old-length new-length flags new-page
    case 'r':
        put_mapping(mremap(at(n[0]) + n[1], n[2], n[3], n[4], at(n[5])), (n[3] + PAGE - 1) & -PAGE);
        break;
    // page skew length advice
    case 'a':
        put_result(madvise(at(n[0]) + n[1], n[2], n[3]));
        break;
    // page skew length flags
    case 'l':
        put_result(n[3] ? syscall(SYS_mlock2, at(n[0]) + n[1], n[2], n[3]) : mlock(at(n[0]) + n[1], n[2]));
        break;
    case 'k':
        put_result(munlock(at(n[0]) + n[1], n[2]));
        break;
    case 'y':
        put_result(msync(at(n[0]) + n[1], n[2], n[3]));
        break;
    case 'c':
        residency(at(n[0]) + n[1], n[2]);
        break;
    // page offset
    case 't':
        touch(at(n[0]) + n[1], 0, 0);
        break;
    // page offset value
    case 'w':
        touch(at(n[0]) + n[1], 1, n[2]);
        break;
    // end, counted from the heap's start
    case 'b':
        put_result(brk((char *)heap + n[0]));
        put(" ");
        put_place((uintptr_t)sbrk(0));
        break;
    // file length
    case 'T':
        put_result(ftruncate(files[n[0] % FILES], n[1]));
        break;
    // file offset value
    case 'P':
        byte = n[2];
        put_result(pwrite(files[n[0] % FILES], &byte, 1, n[1]));
        break;
    // file offset
    case 'G':
        put_result(pread(files[n[0] % FILES], &byte, 1, n[1]));
        put(" ");
        put_hex(byte);
        break;
    case 's':
        state(n[0]);
        break;
    default:
        put("not understood");
    }
}

int main(void) {
    begin();
    heap = ((uintptr_t)sbrk(0) + PAGE - 1) & -PAGE;
    files[0] = memfd_create("sequence", 0);
    files[1] = open("scratch", O_RDWR | O_CREAT | O_TRUNC, 0600);
    files[2] = open("scratch", O_RDONLY);
    unlink("scratch");
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    if (files[0] < 0 || files[1] < 0 || files[2] < 0 || pagemap < 0) {
        put("a file cannot be opened\n");
        flush();
        return 3;
    }
    size_t length = 0;
    for (ssize_t got; length < sizeof script - 1 && (got = read(0, script + length, sizeof script - 1 - length)) > 0;) {
        length += got;
    }
    char *rest = script;
    long count = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line; count++) {
        uint64_t numbers[8] = {0};
        char letter = *line++;
        for (int i = 0; i < 8 && *line == ' '; i++) {
            line++;
            numbers[i] = hex(&line);
        }
        char head[] = {letter, ' ', 0};
        put(head);
        run(letter, numbers);
        put("\n");
    }
    put("operations ");
    put_hex(count);
    put("\n");
    flush();
    return 0;
}
