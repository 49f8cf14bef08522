/*== kernel ==*/
#if defined(__FAST_MATH__)
#error "-ffast-math adds in another order: these sums are promised bit for bit"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

typedef float value;  /* what a layer reads */
typedef float weight;
typedef float state_t;
typedef float total;

enum { STEPS = 28 };

static value of_pixel(uint8_t pixel)
{
    return pixel;
}

/* A matrix: totals[r] = weights of row r . x, in eight sums that are added in a fixed order. One operation at a time
   goes into a float, so that a processor that computes in double rounds as all others do. */
static void multiply(const float *weights, const float *x, int rows, int columns, float *totals)
{
    int r, k, j;
    for (r = 0; r < rows; ++r, weights += columns) {
        float part[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (k = 0; k < columns; k += 8)
            for (j = 0; j < 8; ++j) {
                const float product = weights[k + j] * x[k + j];
                part[j] = part[j] + product;
            }
        for (j = 4; j; j /= 2)
            for (k = 0; k < j; ++k)
                part[k] = part[k] + part[k + j];
        totals[r] = part[0];
    }
}

/*== gates ==*/
static void gate(const struct block *block, const value *row, float *gates)
{
    int i;
    multiply(block->weights, row + block->start, block->rows, block->columns, gates);
    for (i = 0; i < block->rows; ++i)
        gates[i] = gates[i] + block->bias[i];
}

static float as_logit(const float *features, int k)
{
    float sum = head->bias[k];
    int i;
    for (i = 0; i < FEATURES; ++i) {
        const float product = head->weights[k * FEATURES + i] * features[i];
        sum = sum + product;
    }
    return sum;
}

static value as_byte(float state)
{
    return state;
}

/*== squash ==*/
/* numbers[i] = tanh(numbers[i]) within 4e-7: a quotient of polynomials in x and x squared. */
static void squash(float *numbers, int count)
{
    int i, k;
    for (i = 0; i < count; ++i) {
        const float high = numbers[i] > 9.0f ? 9.0f : numbers[i], x = high < -9.0f ? -9.0f : high;
        const float square = x * x;
        float over = TANH[4], under = TANH[9];
        for (k = 3; k >= 0; --k) {
            over = over * square;
            over = over + TANH[k];
            under = under * square;
            under = under + TANH[5 + k];
        }
        over = over * x;
        numbers[i] = over / under;
    }
}

/*== logistic ==*/
static float half(float gate)  /* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half */
{
    const float sum = gate + 1.0f;
    return sum * 0.5f;
}

/*== lstm ==*/
static void step(const struct layer *layer, struct work *work)
{
    const int n = layer->hidden;
    float *gates = work->gates, *cell = work->cell;  /* gates: input, output, forget, new */
    int i;
    gate(layer->blocks, work->row, gates);
    squash(gates, 4 * n);
    for (i = 0; i < n; ++i) {
        const float kept = half(gates[2 * n + i]) * cell[i];
        const float new = half(gates[i]) * gates[3 * n + i];
        cell[i] = kept + new;
        gates[i] = cell[i];
    }
    squash(gates, n);
    for (i = 0; i < n; ++i)
        work->state[i] = half(gates[n + i]) * gates[i];
}

/*== gru ==*/
static void step(const struct layer *layer, struct work *work)
{
    const int n = layer->hidden;
    float *gates = work->gates;  /* update, reset */
    float *fresh = gates + layer->blocks[0].rows, *again = fresh + layer->blocks[1].rows;
    int i;
    gate(layer->blocks, work->row, gates);
    gate(layer->blocks + 1, work->row, fresh);  /* what the row gives for the new state */
    gate(layer->blocks + 2, work->row, again);  /* and what the old state does, which the reset gate weighs */
    squash(gates, 2 * n);
    for (i = 0; i < n; ++i) {
        const float old = half(gates[n + i]) * again[i];
        fresh[i] = fresh[i] + old;
    }
    squash(fresh, n);
    for (i = 0; i < n; ++i) {
        const float apart = work->state[i] - fresh[i], kept = half(gates[i]) * apart;
        work->state[i] = fresh[i] + kept;
    }
}

/*== rnn ==*/
static void step(const struct layer *layer, struct work *work)
{
    int i;
    gate(layer->blocks, work->row, work->gates);
    squash(work->gates, layer->hidden);
    for (i = 0; i < layer->hidden; ++i)
        work->state[i] = work->gates[i];
}

/*== relu ==*/
static void step(const struct layer *layer, struct work *work)
{
    int i;
    gate(layer->blocks, work->row, work->gates);
    for (i = 0; i < layer->hidden; ++i)
        work->state[i] = work->gates[i] < 0.0f ? 0.0f : work->gates[i];
}

/*== stage ==*/
static value leaving(const struct stage *stage, total sum, int output)  /* as the next stage reads it */
{
    const float number = sum + stage->bias[output];
    const float least = number < stage->lower[output] ? stage->lower[output] : number;
    return least > stage->upper[output] ? stage->upper[output] : least;
}

static float as_logit(const struct stage *stage, total sum, int output)
{
    const float number = sum + stage->bias[output];
    return number;
}
