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

/*== lstm ==*/
static void step(const struct layer *layer, struct work *work)
{
    const int n = layer->hidden;
    total *gates = work->gates, *cell = work->cell;  /* gates: input, output, forget, new */
    int i;
    gate(layer->blocks, work->row, gates);
    squash(gates, 4 * n);
    for (i = 0; i < n; ++i) {
        const total kept = opened(gates[2 * n + i]) * cell[i], new = opened(gates[i]) * gates[3 * n + i];
        const total sum = kept + IN_CELL(new);
        cell[i] = rounded(sum, 15);
        gates[i] = bounded(CELL * cell[i]);
    }
    squash(gates, n);
    for (i = 0; i < n; ++i) {
        const total shown = opened(gates[n + i]) * gates[i];
        work->state[i] = (state_t)rounded(shown, 15);
    }
}

/*== gru ==*/
static void step(const struct layer *layer, struct work *work)
{
    const int n = layer->hidden, shift = layer->shift;
    total *gates = work->gates;  /* update, reset */
    total *fresh = gates + layer->blocks[0].rows, *again = fresh + layer->blocks[1].rows;
    int i;
    gate(layer->blocks, work->row, gates);
    gate(layer->blocks + 1, work->row, fresh);  /* what the row gives for the new state */
    gate(layer->blocks + 2, work->row, again);  /* and what the old state does, which the reset gate weighs */
    squash(gates, 2 * n);
    for (i = 0; i < n; ++i) {
        const total weighed = opened(gates[n + i]) * again[i], sum = fresh[i] + rounded(weighed, shift);
        fresh[i] = bounded(sum);
    }
    squash(fresh, n);
    for (i = 0; i < n; ++i) {
        const total apart = work->state[i] - fresh[i], kept = opened(gates[i]) * apart;
        const total sum = fresh[i] + rounded(kept, 15);
        work->state[i] = (state_t)sum;
    }
}

/*== rnn ==*/
static void step(const struct layer *layer, struct work *work)
{
    int i;
    gate(layer->blocks, work->row, work->gates);
    squash(work->gates, layer->hidden);
    for (i = 0; i < layer->hidden; ++i)
        work->state[i] = (state_t)work->gates[i];
}

/*== relu ==*/
static void step(const struct layer *layer, struct work *work)
{
    total *gates = work->gates, *again = gates + layer->blocks[0].rows;
    int i;
    gate(layer->blocks, work->row, gates);
    gate(layer->blocks + 1, work->row, again);
    for (i = 0; i < layer->hidden; ++i) {
        const total sum = gates[i] + again[i], rest = sum < 0 ? 0 : sum;
        work->state[i] = (state_t)bounded(rest);
    }
}

/*== layers ==*/
/* A direction of a layer over so many steps; the first layer reads the image, the others a sequence. */
static void run(const struct layer *layer, const uint8_t *image, const value *rows, int steps, value *sequence,
                struct work *work)
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
    for (t = 0; t < steps; ++t) {
        const int at = layer->backwards ? steps - 1 - t : t;
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
static void answer(const uint8_t *image, int steps, float *logits)
{
    struct work work;
    state_t features[FEATURES];
    const value *rows = 0;
    total sum;
    int l, d, i, k;
    for (l = 0; l < LAYERS; ++l) {
        value *sequence = l + 1 < LAYERS ? work.sequence[l & 1] : 0;
        const struct layer *layer = layers + l * DIRECTIONS;
        for (d = 0; d < DIRECTIONS; ++d, ++layer) {
            run(layer, image, rows, steps, sequence ? sequence + d * layer->hidden : 0, &work);
            for (i = 0; !sequence && i < layer->hidden; ++i)
                features[d * layer->hidden + i] = work.state[i];
        }
        rows = sequence;
    }
    for (k = 0; k < @NAME@_CLASSES; ++k) {
        for (sum = head->bias[k], i = 0; i < FEATURES; ++i) {
            const total product = head->weights[k * FEATURES + i] * features[i];
            sum = sum + product;
        }
        logits[k] = scaled(sum, head->scale, k);
    }
}

void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    answer(image, STEPS, logits);
}

#ifdef @NAME@_ROWS
void @name@_rows(const uint8_t image[784], float logits[28 * @NAME@_CLASSES])
{
    int rows;
    for (rows = 1; rows <= STEPS; ++rows)
        answer(image, rows, logits + (rows - 1) * @NAME@_CLASSES);
}
#endif

/*== rows header ==*/
#ifdef @NAME@_ROWS /* define it for both files, and this is there too */
/* The logits after each row: those of the network on the first 1, 2, ..., 28 rows and no more. */
void @name@_rows(const uint8_t image[784], float logits[28 * @NAME@_CLASSES]);
#endif
