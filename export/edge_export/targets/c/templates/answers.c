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
@tables@
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
/* The first of the pixels whose mean is pixel `at` of `to`: those of Pillow's box filter, by the same doubles. */
static int box(int at, int from, int to, int *count)
{
    const double scale = (double)from / to, wide = scale < 1.0 ? 1.0 : scale, shrink = 1.0 / wide;
    const double centre = (at + 0.5) * scale, low = centre - 0.5 * wide + 0.5, high = centre + 0.5 * wide + 0.5;
    const int end = high < from ? (int)high : from;
    int x = low > 0.0 ? (int)low : 0;
    while ((x - centre + 0.5) * shrink <= -0.5)
        ++x;
    for (*count = 0; x + *count < end && (x + *count - centre + 0.5) * shrink <= 0.5;)
        ++*count;
    return x;
}

#define mean(sum, count) (((sum) * (((1 << 23) + (count)) / (2 * (count))) + (1 << 21)) >> 22)  /* as Pillow rounds it */

static int middle(int moment, int mass, int size)  /* where it starts, so that its centre of mass is at 14 */
{
    const int start = 14 - (2 * moment + mass) / (2 * mass);
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
    const int first_down = tall > rows && tall - rows > 2 * (wide - columns);  /* the order in which Pillow rounds */
    for (int at = 0; at < rows * columns; ++at) {
        int many, each, sum = 0;
        const int row = top + box(at / columns, tall, rows, first_down ? &each : &many);
        const int column = left + box(at % columns, wide, columns, first_down ? &many : &each);
        for (int i = 0; i < many; ++i) {
            int part = 0;
            for (int k = 0; k < each; ++k)
                part += drawing[(row + (first_down ? k : i)) * width + column + (first_down ? i : k)];
            sum += mean(part, each);
        }
        digit[at] = (uint8_t)mean(sum, many);
        mass += digit[at];
        across += digit[at] * (at % columns);
        down += digit[at] * (at / columns);
    }
    mass = mass ? mass : 1;
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
