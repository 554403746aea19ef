/* Packed matrices times rounded rows.
 *
 * A weight is scale * int8 + offset, with one float16 scale and offset per row and GROUP columns. Activations are
 * rounded to int16 with one scale per GROUP, so that all products are exact integers and a row's result does not
 * depend on what else is in the batch. Packed weights: blocks of LANES rows; within a block, for each pair of
 * columns, LANES x 2 bytes. A block is read front to back, once per step: for one row that is what a step costs.
 * More rows cost arithmetic: up to TALL of them are multiplied at a time, their sums kept in registers.
 */

#ifndef MATRIX_H
#define MATRIX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "vectors.h"

#define LANES 16
#define GROUP 32 /* columns that share a scale */
#define BLOCKS_PER_ITEM 4
#define WIDE (BLOCKS_PER_ITEM * LANES) /* matrix rows of an item */
#if defined(__AVX512BW__)
#define TALL 8 /* activation rows that are multiplied at a time, at most */
#else
#define TALL 4
#endif

typedef struct {
    const int8_t *w;       /* packed */
    const uint16_t *scale; /* float16: blocks x groups x (scale, offset) x LANES */
    int32_t rows, cols;    /* multiples of LANES and GROUP */
} Matrix;

typedef struct {
    int16_t *pairs; /* (columns / 2, rows, 2): what a step of a product needs lies together */
    float *scales;  /* (columns / GROUP, rows, 2): scale, and the sum of a group's values */
    int rows;
} Rounded;

/* Largest magnitude of a group. Magnitudes are ordered like the bits they are stored in, and integers may be compared
 * in any order, so that compilers can use whole vectors.
 */
INLINE float largest(const float *x) {
    union { int32_t bits; float value; } most = {0};
    for (int i = 0; i < GROUP; i++) {
        union { float value; int32_t bits; } one = {x[i]};
        int32_t bits = one.bits & 0x7fffffff;
        most.bits = bits > most.bits ? bits : most.bits;
    }
    return most.value;
}

/* Round n values to one of the rows of `to`; columns beyond n up to cols are zero. */
static void round_row(const float *x, int n, int cols, Rounded to, int row) {
    for (int start = 0; start < cols; start += GROUP) {
        int end = n - start < GROUP ? (n > start ? n - start : 0) : GROUP;
        float part[GROUP] = {0.0f};
        for (int i = 0; i < end; i++) part[i] = x[start + i];
        float most = largest(part);
        float inverse = most > 0.0f ? 32767.0f / most : 0.0f;
        int16_t a[GROUP];
        int32_t sum = 0;
        for (int i = 0; i < GROUP; i++) a[i] = (int16_t)(int32_t)rintf(part[i] * inverse);
        for (int i = 0; i < GROUP; i++) sum += a[i];
        int16_t *pairs = to.pairs + ((size_t)start / 2 * to.rows + row) * 2;
        for (int i = 0; i < GROUP; i += 2) memcpy(pairs + (size_t)i * to.rows, a + i, 2 * sizeof *a);
        float *scales = to.scales + ((size_t)start / GROUP * to.rows + row) * 2;
        scales[0] = most / 32767.0f;
        scales[1] = most / 32767.0f * (float)sum;
    }
}

#if defined(__AVX512BW__)
typedef __m512i Ints;
typedef __m512i Pairs;
typedef __m512 Floats;
INLINE Ints zero_ints(void) { return _mm512_setzero_si512(); }
INLINE Pairs load_pairs(const int8_t *w) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w)); }
INLINE Ints dot(Ints sum, Pairs w, const int16_t *a) {
    const int32_t *pair = (const int32_t *)(const void *)a;
#if defined(__AVX512VNNI__)
    /* Written out, because compilers load the pair apart and copy the sum, which takes longer. */
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*pair));
    return sum;
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(w, _mm512_set1_epi32(*pair)));
#endif
}
INLINE Floats zero_floats(void) { return _mm512_setzero_ps(); }
INLINE Floats load_floats(const float *from) { return _mm512_loadu_ps(from); }
INLINE Floats add_times(Floats sum, Floats x, float by) { return _mm512_fmadd_ps(x, _mm512_set1_ps(by), sum); }
INLINE Floats load_halves(const uint16_t *h) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h)); }
INLINE void store_floats(float *to, Floats from) { _mm512_storeu_ps(to, from); }
INLINE Floats add_scaled(Floats total, Ints sum, Floats scale, Floats offset, const float *by) {
    Floats factor = _mm512_mul_ps(scale, _mm512_set1_ps(by[0]));
    Floats shifted = _mm512_fmadd_ps(offset, _mm512_set1_ps(by[1]), total);
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, shifted);
}
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
typedef struct { __m256i low, high; } Ints;
typedef struct { __m256i low, high; } Pairs;
typedef struct { __m256 low, high; } Floats;
INLINE Ints zero_ints(void) { return (Ints){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
INLINE __m256i widened(const int8_t *w) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w)); }
INLINE Pairs load_pairs(const int8_t *w) { return (Pairs){widened(w), widened(w + LANES)}; }
INLINE Ints dot(Ints sum, Pairs w, const int16_t *a) {
    __m256i low, high;
    /* Written out, because compilers load the pairs of several rows ahead and then run out of registers: a sum that
     * goes through memory takes twice as long.
     */
    __asm__("vpbroadcastd %6, %2\n\t"
            "vpmaddwd %2, %5, %3\n\t"
            "vpmaddwd %2, %4, %2\n\t"
            "vpaddd %3, %1, %1\n\t"
            "vpaddd %2, %0, %0"
            : "+x"(sum.low), "+x"(sum.high), "=&x"(low), "=&x"(high)
            : "x"(w.low), "x"(w.high), "m"(*(const int32_t *)(const void *)a));
    return sum;
}
INLINE Floats zero_floats(void) { return (Floats){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE Floats load_floats(const float *from) { return (Floats){_mm256_loadu_ps(from), _mm256_loadu_ps(from + LANES / 2)}; }
INLINE Floats add_times(Floats sum, Floats x, float by) {
    __m256 factor = _mm256_set1_ps(by);
    return (Floats){_mm256_fmadd_ps(x.low, factor, sum.low), _mm256_fmadd_ps(x.high, factor, sum.high)};
}
INLINE __m256 from_halves(const uint16_t *h) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h)); }
INLINE Floats load_halves(const uint16_t *h) { return (Floats){from_halves(h), from_halves(h + LANES / 2)}; }
INLINE void store_floats(float *to, Floats from) {
    _mm256_storeu_ps(to, from.low);
    _mm256_storeu_ps(to + LANES / 2, from.high);
}
INLINE __m256 add_scaled_half(__m256 total, __m256i sum, __m256 scale, __m256 offset, const float *by) {
    __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(by[0]));
    __m256 shifted = _mm256_fmadd_ps(offset, _mm256_set1_ps(by[1]), total);
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, shifted);
}
INLINE Floats add_scaled(Floats total, Ints sum, Floats scale, Floats offset, const float *by) {
    return (Floats){add_scaled_half(total.low, sum.low, scale.low, offset.low, by),
                    add_scaled_half(total.high, sum.high, scale.high, offset.high, by)};
}
#else
typedef struct { int32_t v[LANES]; } Ints;
typedef struct { int16_t v[2 * LANES]; } Pairs;
typedef struct { float v[LANES]; } Floats;
INLINE Ints zero_ints(void) { Ints r; memset(&r, 0, sizeof r); return r; }
INLINE Pairs load_pairs(const int8_t *w) { Pairs r; for (int i = 0; i < 2 * LANES; i++) r.v[i] = w[i]; return r; }
INLINE Ints dot(Ints sum, Pairs w, const int16_t *a) {
    for (int i = 0; i < LANES; i++) sum.v[i] += (int32_t)w.v[2 * i] * a[0] + (int32_t)w.v[2 * i + 1] * a[1];
    return sum;
}
INLINE float from_half(uint16_t half) {
    union { uint32_t bits; float value; } wide = {(uint32_t)(half & 0x7fff) << 13};
    return (half & 0x8000 ? -1.0f : 1.0f) * wide.value * 0x1p112f;
}
INLINE Floats zero_floats(void) { Floats r; memset(&r, 0, sizeof r); return r; }
INLINE Floats load_floats(const float *from) { Floats r; memcpy(r.v, from, sizeof r.v); return r; }
INLINE Floats add_times(Floats sum, Floats x, float by) {
    for (int i = 0; i < LANES; i++) sum.v[i] = madd(x.v[i], by, sum.v[i]);
    return sum;
}
INLINE Floats load_halves(const uint16_t *h) { Floats r; for (int i = 0; i < LANES; i++) r.v[i] = from_half(h[i]); return r; }
INLINE void store_floats(float *to, Floats from) { memcpy(to, from.v, sizeof from.v); }
INLINE Floats add_scaled(Floats total, Ints sum, Floats scale, Floats offset, const float *by) {
    for (int i = 0; i < LANES; i++)
        total.v[i] = madd((float)sum.v[i], scale.v[i] * by[0], madd(offset.v[i], by[1], total.v[i]));
    return total;
}
#endif

/* BLOCKS blocks of a matrix from `block` on times ROWS rows from `row` on: out (ROWS, WIDE), BLOCKS * LANES of each. */
INLINE void multiply(const Matrix *m, int block, Rounded a, int row, const int BLOCKS, const int ROWS,
                     float *restrict out) {
    int groups = m->cols / GROUP;
    const int8_t *restrict w = m->w + (size_t)block * LANES * m->cols;
    const uint16_t *restrict scale = m->scale + (size_t)block * groups * 2 * LANES;
    const int16_t *restrict pairs = a.pairs + 2 * row;
    const float *restrict scales = a.scales + 2 * row;
    Floats total[TALL][BLOCKS_PER_ITEM];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
        for (int b = 0; b < BLOCKS; b++) total[r][b] = zero_floats();
    for (int g = 0; g < groups; g++) {
        Ints sum[TALL][BLOCKS_PER_ITEM];
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
            for (int b = 0; b < BLOCKS; b++) sum[r][b] = zero_ints();
#pragma GCC unroll 4
        for (int k = 0; k < GROUP; k += 2, pairs += 2 * a.rows, w += 2 * LANES)
#pragma GCC unroll 8
            for (int b = 0; b < BLOCKS; b++) {
                Pairs weights = load_pairs(w + (size_t)b * LANES * m->cols);
#pragma GCC unroll 8
                for (int r = 0; r < ROWS; r++) sum[r][b] = dot(sum[r][b], weights, pairs + 2 * r);
            }
#pragma GCC unroll 8
        for (int b = 0; b < BLOCKS; b++) {
            const uint16_t *of = scale + ((size_t)b * groups + g) * 2 * LANES;
            Floats factor = load_halves(of), offset = load_halves(of + LANES);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++)
                total[r][b] = add_scaled(total[r][b], sum[r][b], factor, offset, scales + 2 * r);
        }
        scales += 2 * a.rows;
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
        for (int b = 0; b < BLOCKS; b++) store_floats(out + r * WIDE + b * LANES, total[r][b]);
}

/* One item: BLOCKS_PER_ITEM blocks (fewer at the end) times all rows: out (rows, WIDE).
 *
 * The shapes are those whose sums (with AVX-512, and totals) fit into the vector registers.
 */
static void multiply_item(const Matrix *m, int item, Rounded a, int rows, float *out) {
    int block = item * BLOCKS_PER_ITEM, left = m->rows / LANES - block;
    int blocks = left < BLOCKS_PER_ITEM ? left : BLOCKS_PER_ITEM;
    for (int row = 0, n; row < rows; row += n) {
        n = TALL == 8 && rows - row >= 8 ? 8 : rows - row >= 4 ? 4 : rows - row >= 2 ? 2 : 1;
        float *to = out + (size_t)row * WIDE;
        if (n == 1 && blocks == 4) multiply(m, block, a, row, 4, 1, to);
        else
            for (int b = 0; b < blocks; b++, to += LANES) {
                if (n == TALL) multiply(m, block + b, a, row, 1, TALL, to);
                else if (n == 4) multiply(m, block + b, a, row, 1, 4, to);
                else if (n == 2) multiply(m, block + b, a, row, 1, 2, to);
                else multiply(m, block + b, a, row, 1, 1, to);
            }
    }
}

INLINE int items_of(const Matrix *m) { return (m->rows / LANES + BLOCKS_PER_ITEM - 1) / BLOCKS_PER_ITEM; }

#endif
