/*== head ==*/
/* @title@

   Reads an image of 28x28 bytes, ink 255 on background 0, and says what it shows. Written by `edge export --to c`; made
   from the bundle @bundle@, SHA-256
   @sha256@.
@verdict@

   Compile:    cc -std=c99 -O2 -c @name@.c           (fast paths: -mavx2, -mcpu=cortex-m4, aarch64, -msimd128)
   Self-test:  cc -std=c99 -O2 -D@NAME@_SELF_TEST @name@.c && ./a.out
   It answers golden images and checks that every logit has the bits that it must have, on any processor. -DPLAIN takes
   the plain path. Memory: @constants@ bytes of constants, @stack@ bytes of stack; it allocates nothing and keeps nothing. It
   needs IEEE floats and a >> that keeps the sign. */

#include "@name@.h"

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2 && !defined(__STRICT_ANSI__)
#error "x87 keeps more bits than a float has: compile with -std=c99, or with -mfpmath=sse"
#endif

/*== label ==*/
const char *const @name@_labels[@NAME@_CLASSES] = {@labels@};

int @name@_label(const uint8_t image[784])
{
    float logits[@NAME@_CLASSES];
    int best = 0, k;
    @name@_logits(image, logits);
    for (k = 1; k < @NAME@_CLASSES; ++k)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

/*== header ==*/
/* @title@: see @name@.c */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @NAME@_CLASSES @classes@
#define @NAME@_TEMPERATURE @temperature@  /* probabilities are the softmax of logits / temperature */
#define @NAME@_BUNDLE_SHA256 "@sha256@"
@rejection@
extern const char *const @name@_labels[@NAME@_CLASSES];

/* The logits of an image, row by row, ink 255 on background 0. */
void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES]);

/* The index of the highest logit: the label is @name@_labels[index]. */
int @name@_label(const uint8_t image[784]);

#ifdef __cplusplus
}
#endif

#endif

/*== self-test ==*/
#ifdef @NAME@_SELF_TEST
#include <stdio.h>

static uint32_t mix(uint32_t digest, uint32_t word)  /* FNV-1a, a word at a time */
{
    return (digest ^ word) * 16777619u;
}

static uint32_t bits(float number)
{
    union { float number; uint32_t bits; } both;
    both.number = number;
    return both.bits;
}

@constants_digest@
static const struct { const char *kind; uint32_t digest; uint8_t image[784]; } golden[] = {
@golden@
};

int main(void)
{
    const int count = (int)(sizeof golden / sizeof *golden);
    const int whole = constants() == @constants_value@u;
    int wrong = !whole, n, k;
    printf("@name@: constants %s\n", whole ? "ok" : "CHANGED");
    for (n = 0; n < count; ++n) {
        float logits[@NAME@_CLASSES];
        uint32_t digest = 2166136261u;
        @name@_logits(golden[n].image, logits);
        for (k = 0; k < @NAME@_CLASSES; ++k)
            digest = mix(digest, bits(logits[k]));
        wrong += digest != golden[n].digest;
        printf("%-12s %-8s %08lx %s\n", golden[n].kind, @name@_labels[@name@_label(golden[n].image)],
               (unsigned long)digest, digest == golden[n].digest ? "ok" : "OTHER BITS");
    }
    printf("%s\n", wrong ? "FAILED: this is not the arithmetic that was verified" : "passed: the same bits");
    return wrong != 0;
}
#endif
