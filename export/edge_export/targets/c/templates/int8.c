/*== kernel ==*/
typedef uint8_t value;  /* what a layer reads */
typedef int8_t weight;
typedef int16_t state_t;
typedef int32_t total;  /* of products: exact, the generator proved that it fits */

enum { ONE = 32768, HALF = 16384, STEPS = 28 };  /* numbers in (-1, 1) are Q15: 32768 stands for 1 */

/* How a processor multiplies WIDTH bytes by weights: `take` makes the bytes ready, `dot` adds their products to sums, and
   `give` adds up the sums of four rows. All of it is exact, so that every way gives the same bits. */
#if defined(__AVX2__) && !defined(PLAIN)
#include <immintrin.h>
enum { WIDTH = 16 };
typedef __m256i sums;
typedef __m256i bytes;
#define NOTHING _mm256_setzero_si256()
static bytes take(const uint8_t *x)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x));
}
static sums dot(sums sum, bytes x, const int8_t *weights)
{
    const __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}
static void give(int32_t *totals, sums a, sums b, sums c, sums d)
{
    a = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_storeu_si128((__m128i *)(void *)totals,
                     _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(PLAIN)
#include <arm_neon.h>
enum { WIDTH = 16 };
typedef int32x4_t sums;
typedef int16x8x2_t bytes;
#define NOTHING vdupq_n_s32(0)
static bytes take(const uint8_t *x)
{
    const uint8x16_t v = vld1q_u8(x);
    return (bytes){{vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v))), vreinterpretq_s16_u16(vmovl_high_u8(v))}};
}
static sums dot(sums sum, bytes x, const int8_t *weights)
{
    const int16x8_t low = vmovl_s8(vld1_s8(weights)), high = vmovl_s8(vld1_s8(weights + 8));
    sum = vmlal_high_s16(vmlal_s16(sum, vget_low_s16(x.val[0]), vget_low_s16(low)), x.val[0], low);
    return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(x.val[1]), vget_low_s16(high)), x.val[1], high);
}
static void give(int32_t *totals, sums a, sums b, sums c, sums d)
{
    vst1q_s32(totals, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
}
#elif defined(__wasm_simd128__) && !defined(PLAIN)
#include <wasm_simd128.h>
enum { WIDTH = 8 };
typedef v128_t sums;
typedef v128_t bytes;
#define NOTHING wasm_i32x4_const(0, 0, 0, 0)
static bytes take(const uint8_t *x)
{
    return wasm_u16x8_load8x8(x);
}
static sums dot(sums sum, bytes x, const int8_t *weights)
{
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(x, wasm_i16x8_load8x8(weights)));
}
static void give(int32_t *totals, sums a, sums b, sums c, sums d)
{
    const v128_t e = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 1, 4, 5), wasm_i32x4_shuffle(a, b, 2, 3, 6, 7));
    const v128_t f = wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 1, 4, 5), wasm_i32x4_shuffle(c, d, 2, 3, 6, 7));
    wasm_v128_store(totals,
                    wasm_i32x4_add(wasm_i32x4_shuffle(e, f, 0, 2, 4, 6), wasm_i32x4_shuffle(e, f, 1, 3, 5, 7)));
}
#else
#if defined(__ARM_FEATURE_SIMD32) && !defined(PLAIN) /* Cortex-M4, M7 */
#include <arm_acle.h>
enum { WIDTH = 4 };
typedef struct { int16x2_t even, odd; } bytes;
static uint32_t word(const void *four) /* a pointer to another type would be no C */
{
    uint32_t result;
    __builtin_memcpy(&result, four, 4);
    return result;
}
static bytes take(const uint8_t *x)
{
    const uint32_t v = word(x);
    return (bytes){(int16x2_t)__uxtb16(v), (int16x2_t)__uxtb16(v >> 8 | v << 24)};
}
static int32_t dot(int32_t sum, bytes x, const int8_t *weights)
{
    const uint32_t w = word(weights);
    return __smlad(__sxtb16((int8x4_t)(w >> 8 | w << 24)), x.odd, __smlad(__sxtb16((int8x4_t)w), x.even, sum));
}
#else
enum { WIDTH = 1 };
typedef int32_t bytes;
static bytes take(const uint8_t *x)
{
    return *x;
}
static int32_t dot(int32_t sum, bytes x, const int8_t *weights)
{
    return sum + x * *weights;
}
#endif
typedef int32_t sums;
#define NOTHING 0
static void give(int32_t *totals, sums a, sums b, sums c, sums d)
{
    totals[0] = a;
    totals[1] = b;
    totals[2] = c;
    totals[3] = d;
}
#endif

/* A matrix: totals[r] = weights of row r . x. Rows are a multiple of 4, columns of 16, both filled up with zeros. */
static void multiply(const int8_t *weights, const uint8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    for (r = 0; r < rows; r += 4, weights += 4 * columns) {
        sums a = NOTHING, b = NOTHING, c = NOTHING, d = NOTHING;
        for (k = 0; k < columns; k += WIDTH) {
            const bytes v = take(x + k);
            a = dot(a, v, weights + k);
            b = dot(b, v, weights + k + columns);
            c = dot(c, v, weights + k + 2 * columns);
            d = dot(d, v, weights + k + 3 * columns);
        }
        give(totals + r, a, b, c, d);
    }
}

/*== gates ==*/
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

static float as_logit(const int16_t *features, int k)
{
    int32_t sum = head->bias[k];
    float product;
    int i;
    for (i = 0; i < FEATURES; ++i)
        sum += head->weights[k * FEATURES + i] * features[i];
    product = (float)sum * head->scale[k];
    return product;
}

/*== rows ==*/
const value *rows = image;

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
