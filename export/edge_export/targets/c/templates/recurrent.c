/*== recurrent ==*/
struct layer {  /* of one direction; the head is the last */
    struct matrix matrices[MATRICES];  /* of several, the first takes what enters alone, the second the state */
    int width, hidden, backwards;  /* `width` values of a row enter */
};

struct work {
    total gates[TOTALS], memory[MEMORY];  /* what a cell keeps beside its state */
    value row[ROW];  /* the state of a layer, what enters it behind that, and zeros */
};

static const struct layer layers[LAYERS + 1];

/*== int8 recurrent ==*/
/* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half. */
#define opened(gate) (((gate) + 32768) >> 1)
#define rounded(product) ((total)(((product) + 16384) >> 15))
#define to_cell(product) ((product) >> 4)
#define of_cell(cell) (2 * (cell))
typedef int64_t wide;

/*== fp32 recurrent ==*/
/* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half. The others are what int8 needs. */
#define opened(gate) ((float)((gate) + 1.0f) * 0.5f)
#define rounded(product) (product)
#define to_cell(product) (product)
#define of_cell(cell) (cell)
typedef float wide;

/*== int8 relu ==*/
/* A byte is rectified, from 32nds of its step. */
#define as_byte(state) ((value)(((state) < 0 ? 0 : (state) > 8159 ? 255 : ((state) + 16) >> 5) - 128))

/*== fp32 relu ==*/
#define as_byte(state) ((state) < 0.0f ? 0.0f : (state))

/*== fp32 lstm|gru|rnn ==*/
#define as_byte(state) (state)
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

/*== int8 lstm|gru|rnn ==*/
#define as_byte(state) ((value)(((state) * 127 + 16384) >> 15))  /* 127 steps to 1 */
static const int16_t TANH[64];

/* numbers[i] = tanh(numbers[i]), Q12 within (-8, 8) to Q15: for each half a polynomial of degree 3, within 1.1e-4.
   AVX2 takes up to 15 numbers behind them along: they are the last gates, or become them, and there is room. */
static void squash(int32_t *numbers, int count)
{
#if defined(__AVX2__) && !defined(PLAIN)
    for (int i = 0; i < count; i += 16) {
        __m256i *place = (__m256i *)(void *)(numbers + i), y = {0};
        const __m256i x = _mm256_max_epi16(_mm256_packs_epi32(load(place), load(place + 1)), _mm256_set1_epi16(-32767));
        const __m256i size = _mm256_abs_epi16(x), t = _mm256_srli_epi16(_mm256_slli_epi16(size, 5), 1);
#ifndef VNNI
        const __m256i part = _mm256_mullo_epi16(_mm256_srli_epi16(size, 11), _mm256_set1_epi16(0x0202));
        const __m256i entry = _mm256_add_epi16(part, _mm256_set1_epi16(0x0100));  /* its two bytes in half of a row */
#endif
        for (int k = 0; k < 64; k += 16) {
#ifdef VNNI
            const __m256i factors = _mm256_permutexvar_epi16(_mm256_srli_epi16(size, 11), load(TANH + k));
#else
            const __m128i *row = (const __m128i *)(const void *)(TANH + k);
            const __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row)), entry);
            const __m256i high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row + 1)), entry);
            const __m256i factors = _mm256_blendv_epi8(low, high, _mm256_cmpgt_epi16(size, _mm256_set1_epi16(16383)));
#endif
            y = _mm256_add_epi16(_mm256_mulhrs_epi16(y, t), factors);
        }
        y = _mm256_sign_epi16(y, x);
        _mm256_storeu_si256(place, _mm256_unpacklo_epi16(y, _mm256_srai_epi16(y, 15)));
        _mm256_storeu_si256(place + 1, _mm256_unpackhi_epi16(y, _mm256_srai_epi16(y, 15)));
    }
#else
    for (int i = 0; i < count; ++i) {
        const int32_t low = numbers[i] < -32767 ? -32767 : numbers[i], x = low > 32767 ? 32767 : low;
        const int32_t size = x < 0 ? -x : x, t = size & 2047;
        const int16_t *factor = TANH + (size >> 11);
        int32_t y = ((factor[0] * t + 1024) >> 11) + factor[16];
        y = ((y * t + 1024) >> 11) + factor[32];
        y = ((y * t + 1024) >> 11) + factor[48];
        numbers[i] = x < 0 ? -y : y;
    }
#endif
}

/*== lstm ==*/
static void step(struct work *work, value *state, int n)
{
    total *in = work->gates, *out = in + n, *kept = out + n, *fresh = kept + n, *cell = work->memory;
    squash(in, 4 * n);
    for (int i = 0; i < n; ++i) {
        const total old = opened(kept[i]) * cell[i], new = opened(in[i]) * fresh[i], sum = old + to_cell(new);
        cell[i] = rounded(sum);
        fresh[i] = of_cell(cell[i]);
    }
    squash(fresh, n);
    for (int i = 0; i < n; ++i) {
        const total shown = opened(out[i]) * fresh[i];
        state[i] = as_byte(rounded(shown));
    }
}

/*== gru ==*/
static void step(struct work *work, value *state, int n)
{
    total *new = work->gates, *again = new + n, *update = again + n, *reset = update + n, *exact = work->memory;
    total *fresh = reset;
    squash(update, 2 * n);
    for (int i = 0; i < n; ++i) {
        const wide weighed = (wide)opened(reset[i]) * again[i];
        fresh[i] = new[i] + rounded(weighed);
    }
    squash(fresh, n);
    for (int i = 0; i < n; ++i) {
        const total apart = exact[i] - fresh[i], kept = opened(update[i]) * apart;
        exact[i] = fresh[i] + rounded(kept);
        state[i] = as_byte(exact[i]);
    }
}

/*== rnn ==*/
static void step(struct work *work, value *state, int n)
{
    squash(work->gates, n);
    for (int i = 0; i < n; ++i)
        state[i] = as_byte(work->gates[i]);
}

/*== relu ==*/
static void step(struct work *work, value *state, int n)
{
    for (int i = 0; i < n; ++i) {
        const total sum = work->gates[i] + work->gates[n + i];
        state[i] = as_byte(sum);
    }
}

/*== recurrent ==*/
/* The first layer reads the image, each other one what the directions of the one before it gave. */
void @name@_logits(const uint8_t image[784], float logits[@NAME@_CLASSES])
{
    value sequences[2][SEQUENCE], last[ROW] = {0};
    const struct matrix head = layers[LAYERS].matrices[0];
    struct work work;
    for (int l = 0; l < LAYERS; ++l) {
        const struct layer layer = layers[l];
        const int n = layer.hidden, place = l % DIRECTIONS * n, depth = l / DIRECTIONS;
        value *state = work.row;
        work = (struct work){0};
        for (int i = 0; i < n; ++i)
            state[i] = as_byte(0);
        for (int t = 0; t < 28; ++t) {
            const int row = layer.backwards ? 27 - t : t, at = row * layer.width;
            total *gates = work.gates;
            for (int i = 0; i < layer.width; ++i)
                state[n + i] = depth ? sequences[depth % 2][at + i] : of_pixel(image[at + i]);
            for (int p = 0; p < MATRICES; gates += layer.matrices[p++].rows) {
                multiply(layer.matrices[p], MATRICES > 1 && p == 0 ? state + n : state, gates);
                for (int i = 0; i < layer.matrices[p].rows; ++i)
                    gates[i] = (total)scaled(gates, layer.matrices[p], i);
            }
            step(&work, state, n);
            for (int i = 0; i < n; ++i) {
                last[place + i] = state[i];
                if (l + DIRECTIONS < LAYERS)
                    sequences[(depth + 1) % 2][row * DIRECTIONS * n + place + i] = state[i];
            }
        }
    }
    multiply(head, last, work.gates);
    for (int k = 0; k < @NAME@_CLASSES; ++k)
        logits[k] = scaled(work.gates, head, k);
}
