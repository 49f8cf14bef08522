/*== types ==*/
struct stage {
    const weight *weights;
    const total *bias;
    const float *scale, *lower, *upper;  /* of int8; what fp32 is clipped to */
    int rows, columns, channels, outputs, kernel_rows, kernel_columns, row_stride, column_stride;
    int top, left, bottom, right, pool, pooled_columns, padded_outputs, padded_window;
    int lines, result;  /* where its rows lie among the values, and the row that it gives */
};

struct work {
    int seen[STAGES];  /* rows that a stage took, padding included */
    total totals[TOTALS];
    value window[ROW];
    value values[VALUES];
};

static const struct stage stages[STAGES];

/*== chain ==*/
static void compute(struct work *work, int index, float *logits);

static void clear(value *values, int count)
{
    int i;
    for (i = 0; i < count; ++i)
        values[i] = of_pixel(0);
}

/* A stage takes its picture row by row and keeps as many as its kernel is high, padded by zeros on all sides. */
static void push(struct work *work, int index, const value *row, float *logits)
{
    const struct stage *stage = stages + index;
    const int width = (stage->columns + stage->left + stage->right) * stage->channels;
    value *lines = work->values + stage->lines;
    int *seen = work->seen + index, i, below;
    for (i = 0; i < stage->columns * stage->channels; ++i)
        lines[*seen % stage->kernel_rows * width + stage->left * stage->channels + i] = row[i];
    ++*seen;
    compute(work, index, logits);
    if (*seen == stage->top + stage->rows)
        for (below = 0; below < stage->bottom; ++below) {
            clear(lines + *seen % stage->kernel_rows * width, width);
            ++*seen;
            compute(work, index, logits);
        }
}

/* A row of a stage's output, as soon as the rows for it are there; pooled, and pushed into the next stage. */
static void compute(struct work *work, int index, float *logits)
{
    const struct stage *stage = stages + index;
    const int width = (stage->columns + stage->left + stage->right) * stage->channels;
    const int part = stage->kernel_columns * stage->channels, first = work->seen[index] - stage->kernel_rows;
    const int line = first / stage->row_stride, pool = stage->pool;
    const value *lines = work->values + stage->lines;
    value *result = work->values + stage->result;
    int column, at, r, k;
    if (first < 0 || first % stage->row_stride)
        return;
    for (column = 0, at = 0; at + part <= width; ++column, at += stage->column_stride * stage->channels) {
        value *pixel = result + column / pool * stage->outputs;
        for (r = 0; r < stage->kernel_rows; ++r)
            for (k = 0; k < part; ++k)
                work->window[r * part + k] = lines[(first + r) % stage->kernel_rows * width + at + k];
        clear(work->window + stage->kernel_rows * part, stage->padded_window - stage->kernel_rows * part);
        multiply(stage->weights, work->window, stage->padded_outputs, stage->padded_window, work->totals);
        for (k = 0; k < stage->outputs; ++k) {
            const total sum = work->totals[k] + stage->bias[k];
            if (index + 1 == STAGES) {
                logits[k] = scaled(sum, stage->scale, k);
            } else if (column / pool < stage->pooled_columns) {
                const value number = leaving(stage, sum, k);
                if ((line % pool == 0 && column % pool == 0) || number > pixel[k])
                    pixel[k] = number;
            }
        }
    }
    if (index + 1 < STAGES && line % pool == pool - 1)
        push(work, index + 1, result, logits);
}

/*== logits ==*/
void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    struct work work;
    value row[28];
    int i, r;
    clear(work.values, VALUES);
    for (i = 0; i < STAGES; ++i)
        work.seen[i] = stages[i].top;
    for (r = 0; r < 28; ++r) {
        for (i = 0; i < 28; ++i)
            row[i] = of_pixel(image[28 * r + i]);
        push(&work, 0, row, logits);
    }
}
