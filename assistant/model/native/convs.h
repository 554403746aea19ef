/* Blocks of a causal depth-wise convolution, a norm and two linear maps with SiLU between, added to what came in. The
 * voice's.
 */

#ifndef CONVS_H
#define CONVS_H

#include <string.h>

#include "norms.h"
#include "project.h"

enum { CONVS_UP, CONVS_DOWN, CONVS_STAGES };

static int convs_items(const Convs *convs, uint32_t phase) {
    const ConvLayer *layer = convs->layer + phase / CONVS_STAGES;
    return items_of(phase % CONVS_STAGES == CONVS_UP ? &layer->up : &layer->down);
}

/* Frame `row` of what came in, those of before the call in `tail`. */
INLINE const float *frame_before(const Convs *convs, const float *x, const float *tail, int row) {
    return row < 0 ? tail + (size_t)(convs->kernel - 1 + row) * convs->width : x + (size_t)row * convs->width;
}

static void convolve_and_round(const Convs *convs, const ConvLayer *layer, const float *x, const float *tail, Scratch *s) {
    int width = convs->width;
    s->a.rows = convs->rows;
    for (int r = 0; r < convs->rows; r++) {
        memcpy(s->y, layer->conv_bias, sizeof(float) * width);
        for (int k = 0; k < convs->kernel; k++) {
            const float *from = frame_before(convs, x, tail, r - convs->kernel + 1 + k);
            const float *weight = layer->conv + (size_t)k * width;
            for (int i = 0; i < width; i++) s->y[i] = madd(from[i], weight[i], s->y[i]);
        }
        layer_norm(s->y, layer->norm, layer->shift, convs->eps, width, s->y);
        round_row(s->y, width, layer->up.cols, s->a, r);
    }
}

static void keep_tail(const Convs *convs, const float *x, const float *tail, float *to) {
    for (int k = 0; k < convs->kernel - 1; k++)
        memcpy(to + (size_t)k * convs->width, frame_before(convs, x, tail, convs->rows - convs->kernel + 1 + k),
               sizeof(float) * convs->width);
}

static void down_and_add(Pool *pool, uint32_t phase, const ConvLayer *layer, const Scratch *s, int rows, int width) {
    float part[MAX_ROWS * WIDE];
    for (int item; (item = take(pool, phase, items_of(&layer->down))) >= 0; finish(pool)) {
        multiply_item(&layer->down, item, s->a, rows, part);
        int first = item * WIDE, n = width - first < WIDE ? width - first : WIDE;
        for (int r = 0; r < rows; r++) {
            float *to = pool->shared.x + (size_t)r * width + first;
            for (int i = 0; i < n; i++)
                to[i] = madd(layer->scale[first + i], part[r * WIDE + i] + layer->down_bias[first + i], to[i]);
        }
    }
}

/* Take part in a phase until none of its items is left to take. */
static void run_convs_phase(Pool *pool, uint32_t phase, int thread) {
    const Convs *convs = &pool->convs;
    Scratch *s = pool->scratch + thread;
    int index = (int)(phase / CONVS_STAGES);
    const ConvLayer *layer = convs->layer + index;
    if (phase % CONVS_STAGES == CONVS_UP) {
        convolve_and_round(convs, layer, pool->shared.x, convs->tails[index], s);
        if (thread == 0) keep_tail(convs, pool->shared.x, convs->tails[index], convs->kept[index]);
        project_through(pool, phase, &layer->up, s, convs->rows, pool->shared.h, convs->hidden, layer->up_bias, silu);
    } else {
        round_rows(pool->shared.h, convs->rows, convs->hidden, &layer->down, s);
        down_and_add(pool, phase, layer, s, convs->rows, convs->width);
    }
}

#endif
