/* Measures one image on a bare Cortex-M under QEMU with -icount shift=2: instructions, and bytes of stack. */
#include <stdint.h>
#include <stdio.h>
#include MODEL_HEADER

#define SYSTICK ((volatile uint32_t *)0xE000E010u) /* control, reload, value */
enum { PAINTED = 200000, UNTOUCHED = 0xA5, INSTRUCTIONS_A_TICK = 10 }; /* 25 MHz, 4 ns an instruction */

static uint8_t image[784];
static float logits[CLASSES];

int main(void)
{
    uint32_t begin, end;
    volatile uint8_t *lowest;
    int i, used = PAINTED;
    for (i = 0; i < 784; ++i)
        image[i] = (uint8_t)((i % 28) / 3 == 4 ? 255 : 0); /* a stroke */
    __asm volatile("mov %0, sp" : "=r"(lowest));
    lowest -= PAINTED;
    for (i = 0; i < PAINTED - 64; ++i) /* the last bytes are where this may put a register */
        lowest[i] = UNTOUCHED;
    SYSTICK[1] = 0xFFFFFF;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
    begin = SYSTICK[2];
    LOGITS(image, logits);
    end = SYSTICK[2];
    for (i = 0; i < PAINTED && lowest[i] == UNTOUCHED; ++i)
        --used;
    printf("%lu %d\n", (unsigned long)((begin - end) & 0xFFFFFF) * INSTRUCTIONS_A_TICK, used);
    return 0;
}
