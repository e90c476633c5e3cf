/* A kernel with a PVH note, entered in 32-bit protected mode without paging: EBX names its start info. It writes its
   command line to the serial port, touches 8 pages from 4 MiB on, and halts or exits. */
    .section .note.xen, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long entry

    .text
    .code32
    .globl _start, entry
_start: /* The ELF entry, which must not be taken. */
    ud2
entry:
    cmpl $0x336ec578, (%ebx)
    jne wrong
    cmpl $1, 4(%ebx)
    jne wrong
    mov 24(%ebx), %esi
    mov $0x3f8, %edx
next:
    lodsb
    test %al, %al
    jz said
    out %al, %dx
    jmp next
said:
    mov $'\n', %al
    out %al, %dx
    mov $8, %ecx
    mov $0x400000, %edi
touch:
    movl $1, (%edi)
    add $4096, %edi
    loop touch
    /* With a module: its first byte is the status. Without: sleep for ever. */
    cmpl $0, 12(%ebx)
    je sleep
    mov 16(%ebx), %edi
    mov (%edi), %edi
    movzbl (%edi), %eax
    mov $0xf4, %edx
    out %eax, %dx
sleep:
    cli
    hlt
    jmp sleep
wrong:
    mov $100, %eax
    mov $0xf4, %edx
    out %eax, %dx
    jmp sleep
