/*== kernel ==*/
typedef int8_t value;  /* what a layer reads: a byte less 128 */
typedef int8_t weight;
typedef int16_t state_t;
typedef int32_t total;  /* of products: exact, the generator proved that it fits */

enum { ONE = 32768, HALF = 16384, STEPS = 28 };  /* numbers in (-1, 1) are Q15: 32768 stands for 1 */

static value of_pixel(uint8_t pixel)
{
    return (value)(pixel - 128);
}

static float scaled(int32_t sum, const float *scale, int k)  /* the only product in float */
{
    const float product = (float)sum * scale[k];
    return product;
}

/* How a processor multiplies: `take` makes WIDTH values or weights ready, `dot` adds their products to sums, and `give`
   adds up the sums of four rows. All of it is exact, so that every way gives the same bits. */
#if defined(__AVX2__) && !defined(PLAIN)
#include <immintrin.h>
enum { WIDTH = 32 };
typedef __m256i sums, bytes;
typedef struct { __m256i size, negative; } inputs;
#define NOTHING _mm256_setzero_si256()
#define take(x) _mm256_loadu_si256((const __m256i *)(const void *)(x))
static sums dot(sums sum, inputs x, bytes weights)  /* products of two pairs, at most 128 x 128 each, fit 16 bits */
{
    const __m256i pairs = _mm256_maddubs_epi16(x.size, _mm256_xor_si256(weights, x.negative));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
/* Makes all of x ready. -1 - w stands for -w where x is negative; what that adds is the same for each row, and is where
   its sums start. The weights of half a vector are followed by others, or by zeros: they meet zeros here. */
static sums split(const int8_t *x, int columns, inputs *parts)
{
    sums begin = NOTHING;
    for (; columns > 0; columns -= WIDTH, x += WIDTH, ++parts) {
        const __m256i half = _mm256_inserti128_si256(NOTHING, _mm_loadu_si128((const __m128i *)(const void *)x), 0);
        const __m256i both = columns < WIDTH ? half : take(x);
        parts->size = _mm256_abs_epi8(both);
        parts->negative = _mm256_cmpgt_epi8(NOTHING, both);
        begin = _mm256_sub_epi32(begin, dot(NOTHING, *parts, NOTHING));
    }
    return begin;
}
#define INPUTS inputs parts[(ROW + WIDTH - 1) / WIDTH]; const sums begin = split(x, columns, parts)
#define INPUT(k) parts[(k) / WIDTH]
static void give(int32_t *totals, sums a, sums b, sums c, sums d)
{
    a = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    c = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    a = _mm256_add_epi32(_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c));
    _mm_storeu_si128((__m128i *)(void *)totals,
                     _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(PLAIN)
#include <arm_neon.h>
enum { WIDTH = 16 };
typedef int32x4_t sums;
typedef int8x16_t bytes;
#define NOTHING vdupq_n_s32(0)
#define take vld1q_s8
#define in_pairs vpaddq_s32
#define give(totals, a, b, c, d) vst1q_s32(totals, in_pairs(in_pairs(a, b), in_pairs(c, d)))
static sums dot(sums sum, bytes x, bytes weights)
{
    return vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(x), vget_low_s8(weights)), x, weights));
}
#elif defined(__wasm_simd128__) && !defined(PLAIN)
#include <wasm_simd128.h>
enum { WIDTH = 8 };
typedef v128_t sums, bytes;
#define NOTHING wasm_i32x4_const(0, 0, 0, 0)
#define take wasm_i16x8_load8x8
#define dot(sum, x, weights) wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(x, weights))
#define give(totals, a, b, c, d) wasm_v128_store(totals, in_pairs(in_pairs(a, b), in_pairs(c, d)))
static sums in_pairs(sums a, sums b)
{
    return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}
#else
typedef int32_t sums;
#define NOTHING 0
#define give(totals, a, b, c, d) ((totals)[0] = a, (totals)[1] = b, (totals)[2] = c, (totals)[3] = d)
#if defined(__ARM_FEATURE_SIMD32) && !defined(PLAIN) /* Cortex-M4, M7 */
#include <arm_acle.h>
enum { WIDTH = 4 };
typedef struct { int16x2_t even, odd; } bytes;
static bytes take(const int8_t *x)
{
    bytes pairs;
    int8x4_t word;
    __builtin_memcpy(&word, x, 4);  /* a pointer to another type would be no C */
    pairs.even = __sxtb16(word);
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pairs.odd) : "r"(word));  /* of the intrinsic gcc makes two instructions */
    return pairs;
}
#define dot(sum, x, weights) __smlad((weights).odd, (x).odd, __smlad((weights).even, (x).even, sum))
#else
enum { WIDTH = 1 };
typedef int32_t bytes;
#define take *
#define dot(sum, x, weight) ((sum) + (x) * (weight))
#if defined(__SSE2__)  /* it multiplies and adds 16 bits at once, which gcc sees where one of both has them */
typedef int16_t inputs;
#define INPUTS inputs wide[ROW]; const sums begin = NOTHING; for (k = 0; k < columns; ++k) wide[k] = x[k]
#define INPUT(k) wide[k]
#endif
#endif
#endif
#ifndef INPUTS
typedef bytes inputs;
#define INPUTS const sums begin = NOTHING
#define INPUT(k) take(x + (k))
#endif

/* A matrix: totals[r] = weights of row r . x. Rows are a multiple of 4, columns of 16, both filled up with zeros. */
static void multiply(const int8_t *weights, const int8_t *x, int rows, int columns, int32_t *totals)
{
    int r, k;
    INPUTS;
    for (r = 0; r < rows; r += 4, weights += 4 * columns) {
        sums a = begin, b = begin, c = begin, d = begin;
        for (k = 0; k < columns; k += WIDTH) {
            const inputs v = INPUT(k);
            a = dot(a, v, take(weights + k));
            b = dot(b, v, take(weights + k + columns));
            c = dot(c, v, take(weights + k + 2 * columns));
            d = dot(d, v, take(weights + k + 3 * columns));
        }
        give(totals + r, a, b, c, d);
    }
}

/*== gates ==*/
static void gate(const struct block *block, const value *row, int32_t *gates)
{
    const int32_t *bias = block->bias, limit = block->limit;  /* a store to gates could change what a block points to */
    const float *scale = block->scale;
    const int rows = block->rows;
    int i;
    multiply(block->weights, row + block->start, rows, block->columns, gates);
    for (i = 0; i < rows; ++i) {
        const int32_t number = (int32_t)scaled(gates[i] + bias[i], scale, i);
        const int32_t least = number < -limit ? -limit : number;
        gates[i] = least > limit ? limit : least;
    }
}

/* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half. A cell is Q11, where a gate is Q12. */
#define opened(gate) (((gate) + ONE) >> 1)
#define rounded(product, shift) (((product) + (1 << ((shift) - 1))) >> (shift))
#define bounded(number) ((number) < 1 - ONE ? 1 - ONE : (number) > ONE - 1 ? ONE - 1 : (number))
#define IN_CELL(product) ((product) >> 4)
enum { CELL = 2 };

/*== squash ==*/
/* numbers[i] = tanh(numbers[i]), Q12 within (-8, 8) to Q15: for each half a polynomial of degree 3, within 1.1e-4. */
static void squash(int32_t *numbers, int count)
{
    int i = 0;
#if defined(__AVX2__) && !defined(PLAIN)
    for (; i + 16 <= count; i += 16) {
        __m256i *place = (__m256i *)(void *)(numbers + i);
        const __m256i x = _mm256_packs_epi32(_mm256_loadu_si256(place), _mm256_loadu_si256(place + 1));
        const __m256i size = _mm256_abs_epi16(x), t = _mm256_srli_epi16(_mm256_slli_epi16(size, 5), 1);
        const __m256i part = _mm256_mullo_epi16(_mm256_srli_epi16(size, 11), _mm256_set1_epi16(0x0202));
        const __m256i entry = _mm256_add_epi16(part, _mm256_set1_epi16(0x0100));  /* its two bytes in half of a row */
        const __m256i upper = _mm256_cmpgt_epi16(size, _mm256_set1_epi16(16383));
        __m256i y = _mm256_setzero_si256();
        int k;
        for (k = 0; k < 4; ++k) {
            const __m128i *row = (const __m128i *)(const void *)(TANH + 16 * k);
            const __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row)), entry);
            const __m256i high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(row + 1)), entry);
            y = _mm256_add_epi16(_mm256_mulhrs_epi16(y, t), _mm256_blendv_epi8(low, high, upper));
        }
        y = _mm256_sign_epi16(y, x);
        _mm256_storeu_si256(place, _mm256_unpacklo_epi16(y, _mm256_srai_epi16(y, 15)));
        _mm256_storeu_si256(place + 1, _mm256_unpackhi_epi16(y, _mm256_srai_epi16(y, 15)));
    }
#endif
    for (; i < count; ++i) {
        const int32_t sign = numbers[i] >> 31, size = (numbers[i] ^ sign) - sign, t = size & 2047;
        const int16_t *factor = TANH + (size >> 11);
        int32_t y = ((factor[0] * t + 1024) >> 11) + factor[16];
        y = ((y * t + 1024) >> 11) + factor[32];
        y = ((y * t + 1024) >> 11) + factor[48];
        numbers[i] = (y ^ sign) - sign;
    }
}

/*== bounded byte ==*/
static value as_byte(int32_t state)  /* 127 steps to 1 */
{
    return (value)((state * 127 + HALF) >> 15);
}

/*== rectified byte ==*/
static value as_byte(int32_t state)  /* the state is in 32nds of a step of its byte */
{
    const int32_t byte = (state + 16) >> 5;
    return (value)((byte > 255 ? 255 : byte) - 128);
}

/*== stage ==*/
static value leaving(const struct stage *stage, total sum, int output)  /* as the next stage reads it */
{
    union { float number; uint32_t bits; } rounded;
    const float product = scaled(sum, stage->scale, output), least = product < 0.0f ? 0.0f : product;
    rounded.number = (least > 255.0f ? 255.0f : least) + 8388608.0f;  /* 2^23: the sum is rounded to an integer */
    return of_pixel((uint8_t)(rounded.bits & 255u));
}
