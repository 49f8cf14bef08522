/*== head ==*/
/* @title@

   Reads an image of 28x28 bytes, ink 255 on background 0, and says what it shows. Written by `edge export --to c`; made
   from the bundle @bundle@, SHA-256
   @sha256@.
@verdict@

   Compile:    cc -std=c99 -O2 -c @name@.c           (fast paths: -mavx2, -mcpu=cortex-m4, aarch64, -msimd128)
   Self-test:  cc -std=c99 -O2 -D@NAME@_SELF_TEST @name@.c && ./a.out
   It answers golden images and checks that every logit has the bits that it must have, on any processor.
   -D@NAME@_FRAME adds a function that makes the image of a drawing@more@; -DPLAIN takes the plain path.
   Memory: @constants@ bytes of constants, @stack@ bytes of stack; it allocates nothing and keeps nothing.
   It needs IEEE floats and a >> that keeps the sign. */

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

/*== score ==*/
static float exponential(float x) /* of 0 or less: 2^n times a polynomial, within 1e-6 of it */
{
    union { float number; uint32_t bits; } power;
    const int n = (int)(x * 1.4426950f - 0.5f);
    const float r = x - (float)n * 0.69314718f;
    if (x < -80.0f)
        return 0.0f;
    power.bits = (uint32_t)(127 + n) << 23;
    return power.number * (1.0f + r * (1.0f + r * (0.5f + r * (0.16666667f + r * (0.041666667f + r * 0.0083333333f)))));
}

static float logarithm(float x) /* of 1 or more */
{
    float twos = 0.0f, z, s;
    for (; x > 1.5f; x *= 0.5f)
        twos += 0.69314718f;
    z = (x - 1.0f) / (x + 1.0f);
    s = z * z;
    return twos + 2.0f * z * (1.0f + s * (0.33333333f + s * (0.2f + s * 0.14285714f)));
}

float @name@_score(const float logits[@NAME@_CLASSES])
{
    float highest = logits[0], sum = 0.0f, nearest = 0.0f, root, energy;
    int c, i, k;
    for (k = 1; k < @NAME@_CLASSES; ++k)
        highest = logits[k] > highest ? logits[k] : highest;
    for (k = 0; k < @NAME@_CLASSES; ++k)
        sum += exponential(logits[k] - highest);
    for (c = 0; c < @NAME@_CLASSES; ++c) { /* the squared distance to each label's centre, whitened */
        float squared = 0.0f;
        for (i = 0; i < @NAME@_CLASSES; ++i) {
            float part = 0.0f;
            for (k = i; k < @NAME@_CLASSES; ++k)
                part += (logits[k] - centres[c * @NAME@_CLASSES + k]) * whitening[k * (k + 1) / 2 + i];
            squared += part * part;
        }
        nearest = c == 0 || squared < nearest ? squared : nearest;
    }
    for (root = nearest + 1.0f, i = 0; i < 60; ++i) /* the square root, by Newton: no library */
        root = 0.5f * (root + nearest / root);
    energy = (highest + logarithm(sum) - usual[0]) / usual[1];
    return (energy < 0.0f ? energy : 0.0f) + (usual[2] - root) / usual[3];
}

/*== score header ==*/
#define @NAME@_REJECTION_THRESHOLD @threshold@ /* an image with a lower score shows none of the labels */

/* How much an image looks like one of the labels, from its logits: about 0 for a usual one, lower for others. */
float @name@_score(const float logits[@NAME@_CLASSES]);

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

@rows@@frame@

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

#define EACH(array, word) \
    for (i = 0; i < sizeof(array) / sizeof *(array); ++i) digest = mix(digest, word((array)[i]))
static uint32_t constants(void)
{
    uint32_t digest = 2166136261u;
    unsigned i;
@each@
    return digest;
}

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
