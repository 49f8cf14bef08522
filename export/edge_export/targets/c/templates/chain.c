/*== chain ==*/
struct layer {
    struct matrix matrices[MATRICES];  /* of a convolution; or of a linear layer, as one over the whole picture */
    int rows, width, left, top;  /* rows that it reads; values of one, its padding included; padding before and above */
    int kernel_rows, part, row_stride, step;  /* `part` values of each row are in a window, `step` lie between two */
    int pool, across;  /* side of a pooling; pixels of a pooled row */
    int lines;  /* where the rows that it keeps lie */
};

struct work {
    int seen[LAYERS];  /* rows that a layer took, padding included */
    total totals[TOTALS];
    value window[WINDOW], lines[LINES];
};

static const struct layer layers[LAYERS];

/*== chain int8 ==*/
#define LOWER(m, k) 0.0f
#define UPPER(m, k) 255.0f
#define leaving(number) of_pixel((int)(BITS((number) + 8388608.0f) & 255u))  /* behind 2^23 a float is an integer */

/*== chain fp32 ==*/
#define LOWER(m, k) (m).scale[k]
#define UPPER(m, k) (m).scale[(m).rows + (k)]
#define leaving(number) (number)

/*== chain ==*/
/* Computes the next row that a layer gives, pooled. A layer keeps as many rows as its kernel is high, padded by zeros,
   and lets the one before it compute those that are missing. */
static void compute(struct work *work, int index, const uint8_t *image, value *result)
{
    const struct layer s = layers[index];
    const struct matrix m = s.matrices[0];
    value *lines = work->lines + s.lines;
    int *seen = work->seen + index;
    for (int r = 0; r < s.pool; ++r) {
        const int needed = *seen ? *seen + s.row_stride : s.kernel_rows;
        for (; *seen < needed; ++*seen) {
            const int at = *seen - s.top, inside = at >= 0 && at < s.rows;
            value *line = lines + *seen % s.kernel_rows * s.width;
            for (int i = 0; i < s.width; ++i)
                line[i] = of_pixel(0);
            if (inside && index > 0)
                compute(work, index - 1, image, line + s.left);
            for (int i = 0; inside && index == 0 && i < 28; ++i)
                line[s.left + i] = of_pixel(image[28 * at + i]);
        }
        for (int i = 0; i < WINDOW; ++i)
            work->window[i] = 0;
        for (int column = 0; column < s.across * s.pool; ++column) {
            value *place = result + column / s.pool * m.rows;
            for (int i = 0; i < s.kernel_rows; ++i)
                for (int k = 0; k < s.part; ++k)
                    work->window[i * s.part + k] = lines[(needed + i) % s.kernel_rows * s.width + column * s.step + k];
            multiply(m, work->window, work->totals);
            for (int k = 0; k < m.rows; ++k) {
                const float number = scaled(work->totals, m, k), least = number < LOWER(m, k) ? LOWER(m, k) : number;
                const value leaves = leaving(least > UPPER(m, k) ? UPPER(m, k) : least);
                const value before = r == 0 && column % s.pool == 0 ? leaves : place[k];
                place[k] = leaves > before ? leaves : before;
            }
        }
    }
}

void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    struct work work = {0};
    value last[@NAME@_CLASSES];
    compute(&work, LAYERS - 1, image, last);  /* the logits are what its values were made of */
    for (int k = 0; k < @NAME@_CLASSES; ++k)
        logits[k] = scaled(work.totals, layers[LAYERS - 1].matrices[0], k);
}
