/* Layer norms, and rows that are rounded as they are. */

#ifndef NORMS_H
#define NORMS_H

#include "types.h"
#include "vectors.h"

static void layer_norm(const float *x, const float *weight, const float *shift, float eps, int n, float *out) {
    float mean = sum_floats(x, n) / (float)n;
    for (int i = 0; i < n; i++) out[i] = x[i] - mean;
    float scale = 1.0f / sqrtf(dot_floats(out, out, n) / (float)n + eps);
    for (int i = 0; i < n; i++) out[i] = madd(out[i] * scale, weight[i], shift[i]);
}

static void round_rows(const float *x, int rows, int width, const Matrix *m, Scratch *s) {
    s->a.rows = rows;
    for (int r = 0; r < rows; r++) round_row(x + (size_t)r * width, width, m->cols, s->a, r);
}

#endif
