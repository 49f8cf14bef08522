/* What a bare Cortex-M needs before `main`: its vectors, the FPU, and the memory as C expects it. */
#include <stdint.h>

extern uint32_t data_begin, data_end, bss_begin, bss_end;
extern const uint32_t data_stored;
extern char stack_top;

int main(void);
void reset(void);

static void stop(void)
{
    for (;;)
        ;
}

struct vectors {
    char *stack;
    void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    &stack_top, {reset, stop, stop, stop, stop, stop, 0, 0, 0, 0, stop, stop, 0, stop, stop}};

#ifdef SEMIHOSTING /* a debugger, or QEMU, prints and ends for the program */
#include <stdlib.h>
void initialise_monitor_handles(void);
#endif

void reset(void)
{
    const uint32_t *stored = &data_stored;
    uint32_t *word;
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: coprocessors 10 and 11 are the FPU */
    __asm volatile("dsb\n isb");
#endif
    for (word = &data_begin; word < &data_end; ++word)
        *word = *stored++;
    for (word = &bss_begin; word < &bss_end; ++word)
        *word = 0;
#ifdef SEMIHOSTING
    initialise_monitor_handles();
    exit(main());
#else
    main();
    stop();
#endif
}
