/*== all ==*/
const char *const @name@_labels[@NAME@_CLASSES] = {@labels@};

int @name@_label(const uint8_t image[784])
{
    float logits[@NAME@_CLASSES];
    int best = 0;
    @name@_logits(image, logits);
    for (int k = 1; k < @NAME@_CLASSES; ++k)
        best = logits[k] > logits[best] ? k : best;
    return best;
}

/* ---- constants ---- */
@arrays@
static const struct layer layers[] = {
@layers@
};

/*== score ==*/
static float exponential(float x)  /* of 0 or less, without a library: a polynomial for x / 64, to the power of 64 */
{
    const float part = x / 64.0f;
    float power = 1.0f + part * (1.0f + part * (0.5f + part * (0.16666667f + part * 0.041666667f)));
    for (int i = 0; i < 6; ++i)
        power *= power;
    return x < -80.0f ? 0.0f : power;
}

float @name@_score(const float logits[@NAME@_CLASSES])
{
    float highest = logits[0], sum = 0.0f, nearest = 3e38f, logarithm = 0.0f;
    for (int k = 1; k < @NAME@_CLASSES; ++k)
        highest = logits[k] > highest ? logits[k] : highest;
    for (int k = 0; k < @NAME@_CLASSES; ++k)
        sum += exponential(logits[k] - highest);
    for (int c = 0; c < @NAME@_CLASSES; ++c) { /* the squared distance to each label's centre, whitened */
        float squared = 0.0f;
        for (int i = 0; i < @NAME@_CLASSES; ++i) {
            float part = 0.0f;
            for (int k = i; k < @NAME@_CLASSES; ++k)
                part += (logits[k] - centres[c * @NAME@_CLASSES + k]) * whitening[k * (k + 1) / 2 + i];
            squared += part * part;
        }
        nearest = squared < nearest ? squared : nearest;
    }
    float root = nearest + 1.0f;
    for (int i = 0; i < 60; ++i) { /* by Newton and by Halley */
        const float power = sum * exponential(-logarithm);
        root = 0.5f * (root + nearest / root);
        logarithm += 2.0f * (power - 1.0f) / (power + 1.0f);
    }
    const float energy = (highest + logarithm - usual[0]) / usual[1];
    return (energy < 0.0f ? energy : 0.0f) + (usual[2] - root) / usual[3];
}

/*== all ==*/
#ifdef @NAME@_FRAME
struct axis { int stride, from, to, at; };  /* of a drawing: pixels that become fewer or more, and which of these is asked */

/* The mean of the pixels that become that one, over the first axis of the means over the second: those of Pillow's box
   filter, by the same doubles, and rounded alike. */
static int mean(const uint8_t *pixels, const struct axis *axis, int axes)
{
    const double scale = (double)axis->from / axis->to, wide = scale < 1.0 ? 1.0 : scale, shrink = 1.0 / wide;
    const double centre = (axis->at + 0.5) * scale, low = centre - 0.5 * wide + 0.5, high = centre + 0.5 * wide + 0.5;
    int sum = 0, count = 0;
    for (int x = low > 0.0 ? (int)low : 0; x < axis->from && x < (int)high; ++x) {
        const double place = (x - centre + 0.5) * shrink;
        const uint8_t *pixel = pixels + x * axis->stride;
        if (place > -0.5 && place <= 0.5) {
            sum += axes > 1 ? mean(pixel, axis + 1, axes - 1) : *pixel;
            ++count;
        }
    }
    return (sum * (((1 << 23) + count) / (2 * count)) + (1 << 21)) >> 22;
}

static int middle(int moment, int mass, int size)  /* where it starts, so that its centre of mass is at 14 */
{
    const int start = mass ? 14 - (2 * moment + mass) / (2 * mass) : 14;
    return start < 0 ? 0 : start > 28 - size ? 28 - size : start;
}

int @name@_frame(const uint8_t *drawing, int width, int height, uint8_t image[784])
{
    int left = width, right = -1, top = height, bottom = -1, mass = 0, across = 0, down = 0;
    uint8_t digit[400];
    for (int i = 0; i < 784; ++i)
        image[i] = 0;
    for (int i = 0; i < width * height; ++i)
        if (drawing[i]) {
            left = i % width < left ? i % width : left;
            right = i % width > right ? i % width : right;
            top = i / width < top ? i / width : top;
            bottom = i / width;
        }
    if (bottom < 0)
        return 0;
    const int wide = right - left + 1, tall = bottom - top + 1, longer = wide > tall ? wide : tall;
    const int fitted = (40 * wide + longer) / (2 * longer), fitted_rows = (40 * tall + longer) / (2 * longer);
    const int columns = fitted ? fitted : 1, rows = fitted_rows ? fitted_rows : 1;
    const int down_first = tall > rows && tall - rows > 2 * (wide - columns);  /* the order in which Pillow rounds */
    for (int at = 0; at < rows * columns; ++at) {
        struct axis axes[2];
        axes[!down_first] = (struct axis){1, wide, columns, at % columns};
        axes[down_first] = (struct axis){width, tall, rows, at / columns};
        digit[at] = (uint8_t)mean(drawing + top * width + left, axes, 2);
        mass += digit[at];
        across += digit[at] * (at % columns);
        down += digit[at] * (at / columns);
    }
    image += 28 * middle(down, mass, rows) + middle(across, mass, columns);
    for (int at = 0; at < rows * columns; ++at)
        image[at / columns * 28 + at % columns] = digit[at];
    return 1;
}
#endif

#ifdef @NAME@_SELF_TEST
#include <stdio.h>
#define EACH(array, word)  /* FNV-1a of 32 bits, a word for each number */ \
    for (unsigned i = 0; i < sizeof(array) / sizeof *(array); ++i) { \
        const uint32_t number = word((array)[i]); \
        digest = (digest ^ number) * 16777619u; \
    }

static const struct { const char *kind; uint32_t digest; uint8_t image[784]; } golden[] = {
@golden@
};

int main(void)
{
    uint32_t digest = 2166136261u;
@each@
    int wrong = digest != @constants_value@u;
    printf("@name@: constants %s\n", wrong ? "CHANGED" : "ok");
    for (unsigned n = 0; n < sizeof golden / sizeof *golden; ++n) {
        float logits[@NAME@_CLASSES];
        @name@_logits(golden[n].image, logits);
        digest = 2166136261u;
        EACH(logits, BITS)
        wrong += digest != golden[n].digest;
        printf("%-12s %-8s %08lx %s\n", golden[n].kind, @name@_labels[@name@_label(golden[n].image)],
               (unsigned long)digest, digest == golden[n].digest ? "ok" : "OTHER BITS");
    }
    printf("%s\n", wrong ? "FAILED: this is not the arithmetic that was verified" : "passed: the same bits");
    return wrong != 0;
}
#endif
