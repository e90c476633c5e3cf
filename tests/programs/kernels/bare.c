/* A kernel that knows nothing of pagelab, entered in 64-bit mode. Its command line says what it does:
   touch N | exit V | halt | wait | spin | flood | wide | reset | null. */

struct start_info {
    unsigned magic, version, flags, nr_modules;
    unsigned long modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    unsigned memmap_entries, reserved;
};

static void out8(unsigned short port, unsigned char value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void out32(unsigned short port, unsigned value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }

static unsigned char in8(unsigned short port)
{
    unsigned char value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* As drivers do it: wait until the transmitter is empty. */
static void say(const char *text)
{
    for (; *text; text++) {
        while (!(in8(0x3fd) & 0x20))
            ;
        out8(0x3f8, *text);
    }
}

static _Noreturn void leave(unsigned value)
{
    out32(0xf4, value);
    for (;;)
        ;
}

static int is(const char *line, const char *word)
{
    while (*word)
        if (*line++ != *word++)
            return 0;
    return *line == 0 || *line == ' ';
}

static unsigned long number(const char *line)
{
    unsigned long value = 0;
    while (*line && *line != ' ')
        line++;
    for (line += *line == ' '; *line >= '0' && *line <= '9'; line++)
        value = value * 10 + (*line - '0');
    return value;
}

void _start(const struct start_info *info)
{
    const char *line = (const char *)info->cmdline_paddr;
    if (info->magic != 0x336ec578)
        leave(100);
    say("asked for: ");
    say(line);
    say("\n");
    if (is(line, "touch")) {
        unsigned long pages = number(line);
        for (unsigned long page = 0; page < pages; page++)
            *(volatile char *)(0x400000 + page * 4096) = 1;
        leave(21);
    } else if (is(line, "exit")) {
        leave(number(line));
    } else if (is(line, "halt")) {
        __asm__ volatile("cli; hlt");
    } else if (is(line, "spin")) {
        for (;;)
            ;
    } else if (is(line, "flood")) {
        for (;;) {
            out8(0x3f8, 'x');
            out32(0x80, 0);
            (void)in8(0x71);
        }
    } else if (is(line, "wide")) {
        /* A string of bytes for one port; a word that reaches two ports. */
        const char *text = "string\n";
        unsigned long count = 7;
        __asm__ volatile("rep outsb" : "+S"(text), "+c"(count) : "d"(0x3f8) : "memory");
        __asm__ volatile("outw %0, %1" ::"a"((unsigned short)0x5a00), "Nd"((unsigned short)0x3fe));
        leave(in8(0x3ff) == 0x5a ? 1 : 2);
    } else if (is(line, "reset")) {
        out8(0x64, 0xfe);
    } else if (is(line, "null")) {
        __asm__ volatile("ud2");
    }
    leave(99);
}
