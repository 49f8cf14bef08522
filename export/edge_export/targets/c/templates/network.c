/*== all ==*/
struct layer {
    struct matrix matrices[MATRICES];  /* the last one of several takes the state alone */
/*== recurrent ==*/
    int inputs, hidden, start, backwards, shift;  /* of one direction */
};

struct work {
    total gates[TOTALS], cell[CELLS];
    value row[ROW];  /* what enters the layer, and from `start` on its state as the products read it */
};

static const struct matrix head;
/*== chain ==*/
    int rows, columns, channels, outputs, kernel_rows, kernel_columns, row_stride, column_stride;
    int top, left, bottom, right, pool, lines;  /* `lines` is where the rows that it keeps lie */
};

struct work {
    int seen[LAYERS];  /* rows that a layer took, padding included */
    total totals[TOTALS];
    value window[ROW], lines[LINES];
};

/*== all ==*/
static const struct layer layers[LAYERS];


/*== int8 recurrent ==*/
/* Numbers in (-1, 1) are Q15, a gate is Q12 before tanh, a cell Q11. (1 + tanh(x / 2)) / 2 is the logistic function:
   the weights hold the inner half. */
enum { CELL = 2 };
#define opened(gate) (((gate) + 32768) >> 1)
#define rounded(product, shift) (((product) + (1 << ((shift) - 1))) >> (shift))
#define bounded(number) ((number) < -32767 ? -32767 : (number) > 32767 ? 32767 : (number))
#define IN_CELL(product) ((product) >> 4)

/*== int8 bounded ==*/
#define as_byte(state) ((value)(((state) * 127 + 16384) >> 15))  /* 127 steps to 1 */
static const int16_t TANH[64];

/* numbers[i] = tanh(numbers[i]), Q12 within (-8, 8) to Q15: for each half a polynomial of degree 3, within 1.1e-4. */
static void squash(int32_t *numbers, int count)
{
    int i = 0;
#if defined(__AVX2__) && !defined(PLAIN)
    for (; i + 16 <= count; i += 16) {
        __m256i *place = (__m256i *)(void *)(numbers + i), y = {0};
        const __m256i x = _mm256_max_epi16(_mm256_packs_epi32(take(place), take(place + 1)), _mm256_set1_epi16(-32767));
        const __m256i size = _mm256_abs_epi16(x), t = _mm256_srli_epi16(_mm256_slli_epi16(size, 5), 1);
        const __m256i part = _mm256_mullo_epi16(_mm256_srli_epi16(size, 11), _mm256_set1_epi16(0x0202));
        const __m256i entry = _mm256_add_epi16(part, _mm256_set1_epi16(0x0100));  /* its two bytes in half of a row */
        for (int k = 0; k < 64; k += 16) {
            const __m128i *row = (const __m128i *)(const void *)(TANH + k);
            const __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row)), entry);
            const __m256i high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row + 1)), entry);
            const __m256i factors = _mm256_blendv_epi8(low, high, _mm256_cmpgt_epi16(size, _mm256_set1_epi16(16383)));
            y = _mm256_add_epi16(_mm256_mulhrs_epi16(y, t), factors);
        }
        y = _mm256_sign_epi16(y, x);
        _mm256_storeu_si256(place, _mm256_unpacklo_epi16(y, _mm256_srai_epi16(y, 15)));
        _mm256_storeu_si256(place + 1, _mm256_unpackhi_epi16(y, _mm256_srai_epi16(y, 15)));
    }
#endif
    for (; i < count; ++i) {
        const int32_t x = bounded(numbers[i]), size = x < 0 ? -x : x, t = size & 2047;
        const int16_t *factor = TANH + (size >> 11);
        int32_t y = ((factor[0] * t + 1024) >> 11) + factor[16];
        y = ((y * t + 1024) >> 11) + factor[32];
        y = ((y * t + 1024) >> 11) + factor[48];
        numbers[i] = x < 0 ? -y : y;
    }
}

/*== int8 relu ==*/
#define as_byte(state) ((value)(((state) > 8159 ? 255 : ((state) + 16) >> 5) - 128))  /* a 32nd of a byte's step */

/*== fp32 recurrent ==*/
/* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half. The others are what int8 needs. */
enum { CELL = 1 };
#define opened(gate) ((float)((gate) + 1.0f) * 0.5f)
#define as_byte(state) (state)
#define rounded(product, shift) ((void)(shift), (product))
#define bounded(number) (number)
#define IN_CELL(product) (product)

/*== fp32 bounded ==*/
static const float TANH[10];

/* numbers[i] = tanh(numbers[i]) within 4e-7: a quotient of polynomials in x and x squared. */
static void squash(float *numbers, int count)
{
    for (int i = 0; i < count; ++i) {
        const float high = numbers[i] > 9.0f ? 9.0f : numbers[i], x = high < -9.0f ? -9.0f : high, square = x * x;
        float over = TANH[4], under = TANH[9];
        for (int k = 3; k >= 0; --k) {
            const float more = over * square, less = under * square;
            over = more + TANH[k];
            under = less + TANH[5 + k];
        }
        over = over * x;
        numbers[i] = over / under;
    }
}

/*== lstm ==*/
static void step(const struct layer *layer, struct work *work, state_t *state)  /* gates: input, output, forget, new */
{
    const int n = layer->hidden;
    total *gates = work->gates, *cell = work->cell;
    squash(gates, 4 * n);
    for (int i = 0; i < n; ++i) {
        const total kept = opened(gates[2 * n + i]) * cell[i], new = opened(gates[i]) * gates[3 * n + i];
        const total sum = kept + IN_CELL(new);
        cell[i] = rounded(sum, 15);
        gates[i] = CELL * cell[i];
    }
    squash(gates, n);
    for (int i = 0; i < n; ++i) {
        const total shown = opened(gates[n + i]) * gates[i];
        state[i] = (state_t)rounded(shown, 15);
    }
}

/*== gru ==*/
static void step(const struct layer *layer, struct work *work, state_t *state)
{
    const int n = layer->hidden;
    total *gates = work->gates;  /* update and reset, what the row gives for the new state, and what the old state does */
    total *fresh = gates + layer->matrices[0].rows, *again = fresh + layer->matrices[1].rows;
    squash(gates, 2 * n);
    for (int i = 0; i < n; ++i) {
        const total weighed = opened(gates[n + i]) * again[i];
        fresh[i] = fresh[i] + rounded(weighed, layer->shift);
    }
    squash(fresh, n);
    for (int i = 0; i < n; ++i) {
        const total apart = state[i] - fresh[i], kept = opened(gates[i]) * apart, sum = fresh[i] + rounded(kept, 15);
        state[i] = (state_t)sum;
    }
}

/*== rnn ==*/
static void step(const struct layer *layer, struct work *work, state_t *state)
{
    squash(work->gates, layer->hidden);
    for (int i = 0; i < layer->hidden; ++i)
        state[i] = (state_t)work->gates[i];
}

/*== relu ==*/
static void step(const struct layer *layer, struct work *work, state_t *state)
{
    for (int i = 0; i < layer->hidden; ++i) {
        const total sum = work->gates[i] + work->gates[layer->matrices[0].rows + i], positive = sum < 0 ? 0 : sum;
        state[i] = (state_t)bounded(positive);
    }
}

/*== recurrent ==*/
/* The first layer reads the image, each other one what the directions of the one before it gave; the last states are
   what the head reads. */
void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    value sequences[2][SEQUENCE];
    state_t states[STATES];
    for (int l = 0; l < LAYERS; ++l) {
        struct work work = {0};
        const struct layer *layer = layers + l;
        const int n = layer->hidden, place = l % DIRECTIONS * n, depth = l / DIRECTIONS;
        const value *rows = sequences[depth % 2];
        value *own = work.row + layer->start;
        state_t *state = states + place;
        for (int i = 0; i < n; ++i)
            own[i] = as_byte(state[i] = 0);
        for (int t = 0; t < 28; ++t) {
            const int at = layer->backwards ? 27 - t : t;
            total *gates = work.gates;
            for (int i = 0; i < layer->inputs; ++i)
                work.row[i] = depth ? rows[at * layer->inputs + i] : of_pixel(image[at * layer->inputs + i]);
            for (int p = 0; p < MATRICES; gates += layer->matrices[p++].rows) {
                const struct matrix m = layer->matrices[p];
                multiply(m, p && p == MATRICES - 1 ? own : work.row, gates);
                for (int i = 0; i < m.rows; ++i) {
                    const total sum = gates[i] + m.bias[i];
                    gates[i] = (total)scaled(sum, m, i);
                }
            }
            step(layer, &work, state);
            for (int i = 0; i < n; ++i) {
                own[i] = as_byte(state[i]);
                if (l + DIRECTIONS < LAYERS)
                    sequences[(depth + 1) % 2][at * DIRECTIONS * n + place + i] = own[i];
            }
        }
    }
    for (int k = 0; k < @NAME@_CLASSES; ++k) {
        total sum = head.bias[k];
        for (int i = 0; i < head.columns; ++i) {
            const total product = head.weights[k * head.columns + i] * states[i];
            sum = sum + product;
        }
        logits[k] = scaled(sum, head, k);
    }
}

/*== chain int8 ==*/
static value leaving(float number, struct matrix m, int k)  /* as the next stage reads it: rounded, within a byte */
{
    const float least = number < 0.0f ? 0.0f : number, most = least > 255.0f ? 255.0f : least;
    (void)m, (void)k;
    return of_pixel((int)(BITS(most + 8388608.0f) & 255u));  /* behind 2^23 a float is an integer */
}

/*== chain fp32 ==*/
static value leaving(float number, struct matrix m, int k)
{
    const float least = number < m.scale[k] ? m.scale[k] : number;
    return least > m.scale[m.rows + k] ? m.scale[m.rows + k] : least;
}

/*== chain ==*/
/* Computes the next row that a layer gives, pooled. A layer keeps as many rows as its kernel is high,
   padded by zeros, and lets the one before it compute those that are missing. */
static void compute(struct work *work, int index, const uint8_t *image, value *result)
{
    const struct layer s = layers[index];
    const int width = (s.columns + s.left + s.right) * s.channels, part = s.kernel_columns * s.channels;
    const int step = s.column_stride * s.channels;
    const int given = ((s.columns + s.left + s.right - s.kernel_columns) / s.column_stride + 1) / s.pool;
    value *lines = work->lines + s.lines;
    int *seen = work->seen + index;
    for (int r = 0; r < s.pool; ++r) {
        const int needed = *seen ? *seen + s.row_stride : s.kernel_rows;
        for (; *seen < needed; ++*seen) {
            const int at = *seen - s.top, inside = at >= 0 && at < s.rows;
            value *line = lines + *seen % s.kernel_rows * width, *row = line + s.left * s.channels;
            for (int i = 0; i < width; ++i)
                line[i] = of_pixel(0);
            if (inside && index > 0)
                compute(work, index - 1, image, row);
            for (int i = 0; inside && index == 0 && i < s.columns; ++i)
                row[i] = of_pixel(image[28 * at + i]);
        }
        for (int i = 0; i < ROW; ++i)
            work->window[i] = 0;
        for (int column = 0; column < given * s.pool; ++column) {
            for (int i = 0; i < s.kernel_rows; ++i)
                for (int k = 0; k < part; ++k)
                    work->window[i * part + k] = lines[(needed + i) % s.kernel_rows * width + column * step + k];
            multiply(s.matrices[0], work->window, work->totals);
            for (int k = 0; k < s.outputs; ++k) {
                const total sum = work->totals[k] += s.matrices[0].bias[k];
                const value leaves = leaving(scaled(sum, s.matrices[0], k), s.matrices[0], k);
                value *place = result + column / s.pool * s.outputs + k;
                if ((r == 0 && column % s.pool == 0) || leaves > *place)
                    *place = leaves;
            }
        }
    }
}

void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    struct work work = {0};
    value last[@NAME@_CLASSES];
    compute(&work, LAYERS - 1, image, last);  /* the logits are more than values: its sums, scaled */
    for (int k = 0; k < @NAME@_CLASSES; ++k)
        logits[k] = scaled(work.totals[k], layers[LAYERS - 1].matrices[0], k);
}

