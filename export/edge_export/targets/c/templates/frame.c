/*== frame ==*/
#ifdef @NAME@_FRAME
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
/* The first of the pixels whose mean is pixel `at` of `to`: those of Pillow's box filter, by the same doubles. */
static int box(int at, int from, int to, int *count)
{
    const double scale = (double)from / to, wide = scale < 1.0 ? 1.0 : scale, shrink = 1.0 / wide;
    const double centre = (at + 0.5) * scale, low = centre - 0.5 * wide + 0.5, high = centre + 0.5 * wide + 0.5;
    const int end = high < from ? (int)high : from;
    int x = low > 0.0 ? (int)low : 0;
    while ((x - centre + 0.5) * shrink <= -0.5)
        ++x;
    for (*count = 0; x + *count < end && (x + *count - centre + 0.5) * shrink <= 0.5;)
        ++*count;
    return x;
}

static int mean(int sum, int count) /* by a weight of 22 bits, as Pillow rounds it */
{
    return (sum * (((1 << 23) + count) / (2 * count)) + (1 << 21)) >> 22;
}

static int middle(int moment, int mass, int size) /* where it starts, so that its centre of mass is at 14 */
{
    const int start = 14 - (2 * moment + mass) / (2 * mass);
    return start < 0 ? 0 : start > 28 - size ? 28 - size : start;
}

int @name@_frame(const uint8_t *drawing, int width, int height, uint8_t image[784])
{
    int left = width, right = -1, top = height, bottom = -1, mass = 0, across = 0, down = 0, x, y, i, k;
    uint8_t digit[400];
    for (y = 0; y < height; ++y)
        for (x = 0; x < width; ++x)
            if (drawing[y * width + x]) {
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y;
            }
    for (i = 0; i < 784; ++i)
        image[i] = 0;
    if (bottom >= 0) {
        const int wide = right - left + 1, tall = bottom - top + 1, longer = wide > tall ? wide : tall;
        const int fitted = (40 * wide + longer) / (2 * longer), fitted_rows = (40 * tall + longer) / (2 * longer);
        const int columns = fitted ? fitted : 1, rows = fitted_rows ? fitted_rows : 1;
        const int first_down = tall > rows && tall - rows > 2 * (wide - columns); /* the order in which Pillow rounds */
        for (y = 0; y < rows; ++y)
            for (x = 0; x < columns; ++x) {
                int many, each, sum = 0;
                const int row = top + box(y, tall, rows, first_down ? &each : &many);
                const uint8_t *corner = drawing + row * width + left + box(x, wide, columns, first_down ? &many : &each);
                for (i = 0; i < many; ++i) {
                    int part = 0;
                    for (k = 0; k < each; ++k)
                        part += corner[first_down ? k * width + i : i * width + k];
                    sum += mean(part, each);
                }
                sum = mean(sum, many);
                digit[y * columns + x] = (uint8_t)sum;
                mass += sum;
                across += sum * x;
                down += sum * y;
            }
        mass = mass ? mass : 1;
        image += 28 * middle(down, mass, rows) + middle(across, mass, columns);
        for (y = 0; y < rows; ++y)
            for (x = 0; x < columns; ++x)
                image[28 * y + x] = digit[y * columns + x];
    }
    return bottom >= 0;
}
#endif

/*== frame header ==*/
#ifdef @NAME@_FRAME /* define it for both files, and this is there too */
/* The image of a drawing of any size, ink up to 255 on background 0, as the pad of `edge serve` frames it: scaled to
   20x20, its centre of mass in the middle. Returns 0 where nothing is drawn. */
int @name@_frame(const uint8_t *drawing, int width, int height, uint8_t image[784]);
#endif
