/* A matrix times rows that have been rounded, shared out among threads. */

#ifndef PROJECT_H
#define PROJECT_H

#include "pool.h"

/* out[r][column] = (or +=) the product, for the first `columns` rows of the matrix. */
static void project(Pool *pool, uint32_t phase, const Matrix *m, const Scratch *s, int rows, float *out, int columns, int add,
                    const float *bias) {
    float part[MAX_ROWS * WIDE];
    for (int item; (item = take(pool, phase, items_of(m))) >= 0; finish(pool)) {
        multiply_item(m, item, s->a, rows, part);
        int first = item * WIDE, n = columns - first < WIDE ? columns - first : WIDE;
        for (int r = 0; r < rows; r++) {
            float *to = out + (size_t)r * columns + first;
            for (int i = 0; i < n; i++)
                to[i] = part[r * WIDE + i] + (add ? to[i] : 0.0f) + (bias ? bias[first + i] : 0.0f);
        }
    }
}

/* The same with a bias, through a function of one number. */
INLINE void project_through(Pool *pool, uint32_t phase, const Matrix *m, const Scratch *s, int rows, float *out, int columns,
                            const float *bias, float (*const through)(float)) {
    float part[MAX_ROWS * WIDE];
    for (int item; (item = take(pool, phase, items_of(m))) >= 0; finish(pool)) {
        multiply_item(m, item, s->a, rows, part);
        int first = item * WIDE, n = columns - first < WIDE ? columns - first : WIDE;
        for (int r = 0; r < rows; r++) {
            float *to = out + (size_t)r * columns + first;
            for (int i = 0; i < n; i++) to[i] = through(part[r * WIDE + i] + bias[first + i]);
        }
    }
}

#endif
