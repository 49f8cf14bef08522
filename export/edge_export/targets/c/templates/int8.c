/*== kernel ==*/
typedef uint8_t value;  /* what a layer reads */
typedef int8_t weight;
typedef int32_t total;  /* of products: exact, the generator proved that it fits */

enum { ONE = 32768, HALF = 16384, STEPS = 28 };  /* numbers in (-1, 1) are Q15: 32768 stands for 1 */

/* A matrix: totals[r] = weights of row r . x. Rows are a multiple of 4, columns of 16, both filled up with zeros. */
#if defined(__AVX2__) && !defined(PLAIN)
#include <immintrin.h>
static __m256i wide(const int8_t *bytes)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

static void multiply(const int8_t *weights, const uint8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    for (r = 0; r < rows; r += 4, weights += 4 * columns) {
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
        for (k = 0; k < columns; k += 16) {
            const __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(x + k)));
            a = _mm256_add_epi32(a, _mm256_madd_epi16(v, wide(weights + k)));
            b = _mm256_add_epi32(b, _mm256_madd_epi16(v, wide(weights + k + columns)));
            c = _mm256_add_epi32(c, _mm256_madd_epi16(v, wide(weights + k + 2 * columns)));
            d = _mm256_add_epi32(d, _mm256_madd_epi16(v, wide(weights + k + 3 * columns)));
        }
        a = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        _mm_storeu_si128((__m128i *)(void *)(totals + r),
                         _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
    }
}
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(PLAIN)
#include <arm_neon.h>
static int32x4_t dot(int32x4_t sum, int16x8_t low, int16x8_t high, const int8_t *weights)
{
    const int8x16_t w = vld1q_s8(weights);
    const int16x8_t first = vmovl_s8(vget_low_s8(w)), second = vmovl_s8(vget_high_s8(w));
    sum = vmlal_s16(sum, vget_low_s16(low), vget_low_s16(first));
    sum = vmlal_s16(sum, vget_high_s16(low), vget_high_s16(first));
    sum = vmlal_s16(sum, vget_low_s16(high), vget_low_s16(second));
    return vmlal_s16(sum, vget_high_s16(high), vget_high_s16(second));
}

static void multiply(const int8_t *weights, const uint8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    for (r = 0; r < rows; r += 4, weights += 4 * columns) {
        int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
        for (k = 0; k < columns; k += 16) {
            const uint8x16_t v = vld1q_u8(x + k);
            const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v)));
            const int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(v)));
            a = dot(a, low, high, weights + k);
            b = dot(b, low, high, weights + k + columns);
            c = dot(c, low, high, weights + k + 2 * columns);
            d = dot(d, low, high, weights + k + 3 * columns);
        }
        vst1q_s32(totals + r, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
    }
}
#elif defined(__wasm_simd128__) && !defined(PLAIN)
#include <wasm_simd128.h>
static v128_t dot(v128_t sum, v128_t low, v128_t high, const int8_t *weights)
{
    const v128_t w = wasm_v128_load(weights);
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(low, wasm_i16x8_extend_low_i8x16(w)));
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(high, wasm_i16x8_extend_high_i8x16(w)));
}

static void multiply(const int8_t *weights, const uint8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    for (r = 0; r < rows; ++r, weights += columns) {
        v128_t s = wasm_i32x4_const(0, 0, 0, 0);
        for (k = 0; k < columns; k += 16) {
            const v128_t v = wasm_v128_load(x + k);
            s = dot(s, wasm_u16x8_extend_low_u8x16(v), wasm_u16x8_extend_high_u8x16(v), weights + k);
        }
        totals[r] = wasm_i32x4_extract_lane(s, 0) + wasm_i32x4_extract_lane(s, 1) + wasm_i32x4_extract_lane(s, 2)
                    + wasm_i32x4_extract_lane(s, 3);
    }
}
#elif defined(__ARM_FEATURE_SIMD32) && !defined(PLAIN)
#include <arm_acle.h>
static int32_t dot(int32_t sum, int16x2_t even, int16x2_t odd, const int8_t *weights)
{
    uint32_t w;
    __builtin_memcpy(&w, weights, 4);  /* a pointer to another type would be no C */
    sum = __smlad(__sxtb16((int8x4_t)w), even, sum);
    return __smlad(__sxtb16((int8x4_t)__ror(w, 8)), odd, sum);
}

static void multiply(const int8_t *weights, const uint8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    for (r = 0; r < rows; r += 4, weights += 4 * columns) {
        int32_t a = 0, b = 0, c = 0, d = 0;
        for (k = 0; k < columns; k += 4) {
            uint32_t v;
            __builtin_memcpy(&v, x + k, 4);
            const int16x2_t even = (int16x2_t)__uxtb16(v), odd = (int16x2_t)__uxtb16(__ror(v, 8));
            a = dot(a, even, odd, weights + k);
            b = dot(b, even, odd, weights + k + columns);
            c = dot(c, even, odd, weights + k + 2 * columns);
            d = dot(d, even, odd, weights + k + 3 * columns);
        }
        totals[r] = a;
        totals[r + 1] = b;
        totals[r + 2] = c;
        totals[r + 3] = d;
    }
}
#else
static void multiply(const int8_t *weights, const uint8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    for (r = 0; r < rows; ++r, weights += columns) {
        int32_t sum = 0;
        for (k = 0; k < columns; ++k)
            sum += weights[k] * x[k];
        totals[r] = sum;
    }
}
#endif

/*== gates ==*/
/* A part of a layer's product: what row[start..] gives for some gates, in Q12 within the limit. */
struct block {
    const weight *weights;
    const total *bias;
    const float *scale;
    int start, columns, rows;
    int32_t limit;
};

struct layer {
    const struct block *blocks;
    int parts, inputs, hidden, start, backwards, shift;
};

struct work {
    int32_t gates[GATES];
    int32_t cell[CELLS];  /* of an LSTM, Q11: it stays within 28 */
    int16_t state[HIDDEN];
    value row[ROW];  /* what enters the layer, then its state as bytes */
    value sequence[2][SEQUENCE];
};

static void gate(const struct block *block, const value *row, int32_t *gates)
{
    int i;
    multiply(block->weights, row + block->start, block->rows, block->columns, gates);
    for (i = 0; i < block->rows; ++i) {
        const float product = (float)(gates[i] + block->bias[i]) * block->scale[i];  /* the only one in float */
        const int32_t number = (int32_t)product;
        const int32_t least = number < -block->limit ? -block->limit : number;
        gates[i] = least > block->limit ? block->limit : least;
    }
}

/*== squash ==*/
/* numbers[i] = tanh(numbers[i]), Q12 within (-8, 8) to Q15: straight lines between the entries of the table. */
static void squash(int32_t *numbers, int count)
{
    int i = 0;
#if defined(__AVX2__) && !defined(PLAIN)
    for (; i + 8 <= count; i += 8) {
        __m256i *place = (__m256i *)(void *)(numbers + i);
        const __m256i u = _mm256_add_epi32(_mm256_loadu_si256(place), _mm256_set1_epi32(ONE));
        const __m256i pair = _mm256_i32gather_epi32((const int *)(const void *)TANH, _mm256_srli_epi32(u, 7), 2);
        const __m256i low = _mm256_srai_epi32(_mm256_slli_epi32(pair, 16), 16);
        const __m256i rise = _mm256_sub_epi32(_mm256_srai_epi32(pair, 16), low);
        const __m256i part = _mm256_mullo_epi32(rise, _mm256_and_si256(u, _mm256_set1_epi32(127)));
        const __m256i more = _mm256_srai_epi32(_mm256_add_epi32(part, _mm256_set1_epi32(64)), 7);
        _mm256_storeu_si256(place, _mm256_add_epi32(low, more));
    }
#endif
    for (; i < count; ++i) {
        const int32_t u = numbers[i] + ONE;
        const int16_t *entry = TANH + (u >> 7);
        numbers[i] = entry[0] + (((entry[1] - entry[0]) * (u & 127) + 64) >> 7);
    }
}

/*== bounded byte ==*/
static value as_byte(int32_t state)  /* 127 steps to 1, and 128 for 0 */
{
    return (value)(((state * 127 + HALF) >> 15) + 128);
}

/*== lstm ==*/
static void step(const struct layer *layer, struct work *work)
{
    const int n = layer->hidden;
    int32_t *gates = work->gates, *cell = work->cell;  /* gates: input, output, forget, new */
    int i;
    gate(layer->blocks, work->row, gates);
    squash(gates, 4 * n);
    for (i = 0; i < n; ++i) {  /* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half */
        const int32_t in = (gates[i] + ONE) >> 1, forget = (gates[2 * n + i] + ONE) >> 1;
        const int32_t c = (forget * cell[i] + ((in * gates[3 * n + i]) >> 4) + HALF) >> 15;
        const int32_t twice = 2 * c < -ONE + 1 ? -ONE + 1 : 2 * c;
        cell[i] = c;
        gates[i] = twice > ONE - 1 ? ONE - 1 : twice;
    }
    squash(gates, n);
    for (i = 0; i < n; ++i)
        work->state[i] = (int16_t)((((gates[n + i] + ONE) >> 1) * gates[i] + HALF) >> 15);
}

/*== gru ==*/
static void step(const struct layer *layer, struct work *work)
{
    const int n = layer->hidden, shift = layer->shift;
    int32_t *gates = work->gates;  /* update, reset */
    int32_t *fresh = gates + layer->blocks[0].rows, *again = fresh + layer->blocks[1].rows;
    int i;
    gate(layer->blocks, work->row, gates);
    gate(layer->blocks + 1, work->row, fresh);  /* what the row gives for the new state */
    gate(layer->blocks + 2, work->row, again);  /* and what the old state does, which the reset gate weighs */
    squash(gates, 2 * n);
    for (i = 0; i < n; ++i) {
        const int32_t reset = (gates[n + i] + ONE) >> 1;
        const int32_t sum = fresh[i] + ((reset * again[i] + (1 << (shift - 1))) >> shift);
        const int32_t least = sum < -ONE + 1 ? -ONE + 1 : sum;
        fresh[i] = least > ONE - 1 ? ONE - 1 : least;
    }
    squash(fresh, n);
    for (i = 0; i < n; ++i) {
        const int32_t keep = (gates[i] + ONE) >> 1;
        work->state[i] = (int16_t)(fresh[i] + ((keep * (work->state[i] - fresh[i]) + HALF) >> 15));
    }
}

/*== rnn ==*/
static void step(const struct layer *layer, struct work *work)
{
    int i;
    gate(layer->blocks, work->row, work->gates);
    squash(work->gates, layer->hidden);
    for (i = 0; i < layer->hidden; ++i)
        work->state[i] = (int16_t)work->gates[i];
}

/*== rectified byte ==*/
static value as_byte(int32_t state)  /* the state is in 32nds of a step of its byte */
{
    const int32_t byte = (state + 16) >> 5;
    return (value)(byte > 255 ? 255 : byte);
}

/*== relu ==*/
static void step(const struct layer *layer, struct work *work)
{
    int32_t *gates = work->gates, *again = gates + layer->blocks[0].rows;
    int i;
    gate(layer->blocks, work->row, gates);
    gate(layer->blocks + 1, work->row, again);
    for (i = 0; i < layer->hidden; ++i) {
        const int32_t sum = gates[i] + again[i] < 0 ? 0 : gates[i] + again[i];
        work->state[i] = (int16_t)(sum > ONE - 1 ? ONE - 1 : sum);
    }
}

/*== stage ==*/
static value leaving(const struct stage *stage, total sum, int output)  /* as the next stage reads it */
{
    union { float number; uint32_t bits; } rounded;
    const float product = (float)(sum + stage->bias[output]) * stage->scale[output];
    const float least = product < 0.0f ? 0.0f : product;
    rounded.number = (least > 255.0f ? 255.0f : least) + 8388608.0f;  /* 2^23: the sum is rounded to an integer */
    return (value)(rounded.bits & 255u);
}

static float as_logit(const struct stage *stage, total sum, int output)
{
    const float product = (float)(sum + stage->bias[output]) * stage->scale[output];
    return product;
}
