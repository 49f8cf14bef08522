/* @title@

   Reads an image of 28x28 bytes, ink 255 on background 0, and says what it shows. Written by `edge export --to c`; made
   from the bundle @bundle@, SHA-256
   @sha256@.
@verdict@

   Compile:    cc -std=c99 -O2 -c @name@.c           (fast paths: -mavx2, -mcpu=cortex-m4, aarch64, -msimd128)
   Self-test:  cc -std=c99 -O2 -D@NAME@_SELF_TEST @name@.c && ./a.out
   It answers golden images and checks that every logit has the bits that it must have, on any processor.
   -D@NAME@_FRAME adds a function that makes the image of a drawing; -DPLAIN takes the plain path.
   Memory: @constants@ bytes of constants, @stack@ bytes of stack; it allocates nothing and keeps nothing.
   It needs IEEE floats and a >> that keeps the sign. */
#include "@name@.h"

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2 && !defined(__STRICT_ANSI__)
#error "x87 keeps more bits than a float has: compile with -std=c99, or with -mfpmath=sse"
#endif
#if defined(__clang__) /* a product that is added is rounded first */
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

union word { float number; uint32_t bits; };
#define BITS(x) (((union word){.number = (x)}).bits)

enum { @sizes@ };

/*== int8 ==*/
typedef int8_t value;  /* a byte less 128 */
typedef int32_t total;  /* of products: exact, the generator proved that it fits */
#define of_pixel(pixel) ((value)((pixel) - 128))
#define scaled(totals, m, r) ((float)((float)((totals)[r] + (m).bias[r]) * (m).scale[r]))  /* the only product in float */

/*== fp32 ==*/
#ifdef __FAST_MATH__
#error "-ffast-math adds in another order: these sums are promised bit for bit"
#endif
typedef float value, total;
#define of_pixel(pixel) (pixel)
#define scaled(totals, m, r) ((totals)[r])

/*== all ==*/
struct matrix {
    const value *weights;  /* row by row, in fp32 column by column */
    const total *bias;
    const float *scale;  /* of int8; of a stage in fp32 what its values are clipped to: the lower, then the upper */
    int rows, columns;
};

/*== int8 ==*/
/* How a processor multiplies: `take` makes WIDTH values or weights ready, `dot` adds their products to sums, and `give`
   adds up the sums of four rows. All of it is exact, so that every way gives the same bits. */
#if defined(__AVX2__) && !defined(PLAIN)
#include <immintrin.h>
#define load(x) _mm256_loadu_si256((const __m256i *)(const void *)(x))
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define VNNI  /* wants a factor without a sign: `dot` adds 128 to a weight, `excess` takes that off, once for all rows */
enum { WIDTH = 64 };
typedef __m512i sums, bytes;
#define take(x) _mm512_loadu_si512((const void *)(x))
#define dot(sum, x, weights) _mm512_dpbusd_epi32(sum, _mm512_xor_si512(weights, _mm512_set1_epi8(-128)), x)
#define excess(sum, x) _mm512_sub_epi32(sum, _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(-128), x))
#define pairs(a, b, bits) _mm512_add_epi32(_mm512_unpacklo_epi##bits(a, b), _mm512_unpackhi_epi##bits(a, b))
#define halves(sum) _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1))
#else
enum { WIDTH = 32 };
typedef __m256i sums, bytes;
#define take load
static sums dot(sums sum, bytes x, bytes weights)  /* |x| times weights with the sign of x: a pair of them fits 16 bits */
{
    const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(weights, x));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}
#define pairs(a, b, bits) _mm256_add_epi32(_mm256_unpacklo_epi##bits(a, b), _mm256_unpackhi_epi##bits(a, b))
#define halves(sum) sum
#endif
static __m128i added(__m256i lanes)
{
    return _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}
#define give(totals, a, b, c, d) \
    _mm_storeu_si128((__m128i *)(void *)(totals), added(halves(pairs(pairs(a, b, 32), pairs(c, d, 32), 64))))
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(PLAIN)
#include <arm_neon.h>
enum { WIDTH = 16 };
typedef int32x4_t sums;
typedef int8x16_t bytes;
#define take vld1q_s8
#define dot(sum, x, w) vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(x), vget_low_s8(w)), x, w))
#define give(totals, a, b, c, d) vst1q_s32(totals, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)))
#elif defined(__wasm_simd128__) && !defined(PLAIN)
#include <wasm_simd128.h>
enum { WIDTH = 8 };
typedef v128_t sums, bytes;
#define take wasm_i16x8_load8x8
#define dot(sum, x, weights) wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(x, weights))
#define pairs(a, b) wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7))
#define give(totals, a, b, c, d) wasm_v128_store(totals, pairs(pairs(a, b), pairs(c, d)))
#elif defined(__ARM_FEATURE_SIMD32) && !defined(PLAIN) /* Cortex-M4, M7 */
#include <arm_acle.h>
enum { WIDTH = 4 };
typedef int32_t sums;
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
typedef int32_t sums, bytes;
#define take *
#define dot(sum, x, weight) ((sum) + (x) * (weight))
#endif
#ifndef give
#define give(totals, a, b, c, d) ((totals)[0] = a, (totals)[1] = b, (totals)[2] = c, (totals)[3] = d)
#endif

/* totals[r] = weights of row r . x, of four rows at once: zeros fill up the last ones. A vector may be longer than what is
   left of a row: there is a zero in it, or in x. */
static inline void multiply(struct matrix m, const value *x, total *totals)
{
    sums start = {0};
#ifdef excess
    for (int k = 0; k < m.columns; k += WIDTH)
        start = excess(start, take(x + k));
#endif
    for (int r = 0; r < m.rows; r += 4, m.weights += 4 * m.columns) {
        sums a = start, b = start, c = start, d = start;
        for (int k = 0; k < m.columns; k += WIDTH) {
            const bytes values = take(x + k);
            a = dot(a, values, take(m.weights + k));
            b = dot(b, values, take(m.weights + k + m.columns));
            c = dot(c, values, take(m.weights + k + 2 * m.columns));
            d = dot(d, values, take(m.weights + k + 3 * m.columns));
        }
        give(totals + r, a, b, c, d);
    }
}

/*== fp32 ==*/
/* totals[r] = bias + weights of row r . x, added in this order. One operation at a time goes into a float, so that a
   processor that computes in double rounds as all others do. */
static inline void multiply(struct matrix m, const value *x, total *restrict totals)
{
    for (int r = 0; r < m.rows; ++r)
        totals[r] = m.bias[r];
    for (int k = 0; k < m.columns; ++k, m.weights += m.rows)
        for (int r = 0; r < m.rows; ++r) {
            const float product = m.weights[r] * x[k];
            totals[r] = totals[r] + product;
        }
}

