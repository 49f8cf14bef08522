/*== types ==*/
/* A part of a layer's product: what row[start..] gives for some gates; those of int8 are Q12 within the limit. */
struct block {
    const weight *weights;
    const total *bias;
    const float *scale;  /* of int8 */
    int start, columns, rows, limit;
};

struct layer {
    const struct block *blocks;
    int inputs, hidden, start, backwards, shift;
};

struct work {
    total gates[GATES];
    total cell[CELLS];  /* of an LSTM; Q11 of int8 stays within 28 */
    state_t state[HIDDEN];
    value row[ROW];  /* what enters the layer, then its state as the product reads it */
    value sequence[2][SEQUENCE];
};

static const struct layer layers[LAYERS * DIRECTIONS];
static const struct block head[1];

/*== layers ==*/
/* A direction of a layer over all steps; the first layer reads the image, the others a sequence. */
static void run(const struct layer *layer, const uint8_t *image, const value *rows, value *sequence, struct work *work)
{
    const int n = layer->hidden, inputs = layer->inputs, width = DIRECTIONS * n;
    value *row = work->row, *own = row + layer->start;
    int t, i;
    for (i = 0; i < ROW; ++i)
        row[i] = 0;
    for (i = 0; i < n; ++i) {
        work->state[i] = 0;
        work->cell[CELLS == HIDDEN ? i : 0] = 0;
        own[i] = as_byte(0);
    }
    for (t = 0; t < STEPS; ++t) {
        const int at = layer->backwards ? STEPS - 1 - t : t;
        for (i = 0; i < inputs; ++i)
            row[i] = rows ? rows[at * inputs + i] : of_pixel(image[at * inputs + i]);
        step(layer, work);
        for (i = 0; i < n; ++i)
            own[i] = as_byte(work->state[i]);
        for (i = 0; sequence && i < n; ++i)
            sequence[at * width + i] = own[i];
    }
}

/*== logits ==*/
void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    struct work work;
    state_t features[FEATURES];
    const value *rows = 0;
    int l, d, i, k;
    for (l = 0; l < LAYERS; ++l) {
        value *sequence = l + 1 < LAYERS ? work.sequence[l & 1] : 0;
        const struct layer *layer = layers + l * DIRECTIONS;
        for (d = 0; d < DIRECTIONS; ++d, ++layer) {
            run(layer, image, rows, sequence ? sequence + d * layer->hidden : 0, &work);
            for (i = 0; !sequence && i < layer->hidden; ++i)
                features[d * layer->hidden + i] = work.state[i];
        }
        rows = sequence;
    }
    for (k = 0; k < @NAME@_CLASSES; ++k)
        logits[k] = as_logit(features, k);
}
