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

#define of_pixel(pixel) (pixel)
#define scaled(sum, scale, k) (sum)  /* what int8 does beside this */

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

/* (1 + tanh(x / 2)) / 2 is the logistic function: the weights hold the inner half. The others are what int8 needs. */
#define opened(gate) ((float)((gate) + 1.0f) * 0.5f)
#define as_byte(state) (state)
#define rounded(product, shift) ((void)(shift), (product))
#define bounded(number) (number)
#define IN_CELL(product) (product)
enum { CELL = 1 };

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

/*== stage ==*/
static value leaving(const struct stage *stage, total sum, int output)  /* as the next stage reads it */
{
    const float least = sum < stage->lower[output] ? stage->lower[output] : sum;
    return least > stage->upper[output] ? stage->upper[output] : least;
}
