/* Transformer layers whose rows see each other and what came before: norms with a shift, biases, GELU. Hearing's.
 *
 * Layer by layer: keys and values are laid out for each head, then tiles of queries meet all of them.
 */

#ifndef STACK_H
#define STACK_H

#include <string.h>

#include "norms.h"
#include "project.h"

#define QUERIES 16 /* of an attention item */
#define FEW 4      /* rows of a small product, kept in registers */

enum { STACK_QKV, STACK_STORE, STACK_ATTEND, STACK_OUT, STACK_UP, STACK_DOWN, STACK_STAGES };

INLINE int padded(int n) { return (n + LANES - 1) / LANES * LANES; }
INLINE int stack_keys(const Stack *stack) { return stack->seen + stack->rows; }

/* One head's keys, turned so that a row holds one dimension of all of them, then its values. */
INLINE size_t head_floats(const Stack *stack) {
    return (size_t)2 * padded(stack->width / stack->heads) * padded(stack_keys(stack));
}

/* Which rows come out of a layer: all, but of the last only those that are asked for. */
INLINE int rows_out(const Stack *stack, int layer) { return layer + 1 < stack->layers ? stack->rows : stack->given; }
INLINE int first_out(const Stack *stack, int layer) { return layer + 1 < stack->layers ? 0 : stack->first; }

static int stack_items(const Stack *stack, uint32_t phase) {
    int index = (int)(phase / STACK_STAGES);
    const StackLayer *layer = stack->layer + index;
    switch (phase % STACK_STAGES) {
    case STACK_QKV: return items_of(&layer->qkv);
    case STACK_STORE: return stack->heads;
    case STACK_ATTEND: return stack->heads * ((rows_out(stack, index) + QUERIES - 1) / QUERIES);
    case STACK_OUT: return items_of(&layer->out);
    case STACK_UP: return items_of(&layer->up);
    default: return items_of(&layer->down);
    }
}

static void layer_norm_and_round(const Stack *stack, const float *x, int rows, const float *weight, const float *shift,
                                 const Matrix *m, Scratch *s) {
    s->a.rows = rows;
    for (int r = 0; r < rows; r++) {
        layer_norm(x + (size_t)r * stack->width, weight, shift, stack->eps, stack->width, s->y);
        round_row(s->y, stack->width, m->cols, s->a, r);
    }
}

/* Lay out keys and values of each head, those of before first; keep them for the next call where it wants them. */
static void store_heads(Pool *pool, uint32_t phase, const Stack *stack, int index) {
    int d = stack->width / stack->heads, count = stack_keys(stack), seen = stack->seen, wide = padded(count);
    const float *past = stack->past ? stack->past[index] : NULL;
    float *memory = stack->memory ? stack->memory[index] : NULL;
    for (int head; (head = take(pool, phase, stack->heads)) >= 0; finish(pool)) {
        float *turned = pool->shared.partial + head * head_floats(stack), *values = turned + (size_t)padded(d) * wide;
        for (int j = 0; j < count; j++) {
            const float *key, *value;
            if (j < seen) {
                key = past + ((size_t)head * seen + j) * d;
                value = past + ((size_t)(stack->heads + head) * seen + j) * d;
            } else {
                key = pool->shared.qkv + ((size_t)(j - seen) * 3 + 1) * stack->width + head * d;
                value = key + stack->width;
            }
            for (int i = 0; i < d; i++) turned[(size_t)i * wide + j] = key[i];
            memcpy(values + (size_t)j * padded(d), value, sizeof(float) * d);
            if (memory) {
                memcpy(memory + ((size_t)head * count + j) * d, key, sizeof(float) * d);
                memcpy(memory + ((size_t)(stack->heads + head) * count + j) * d, value, sizeof(float) * d);
            }
        }
    }
}

/* ROWS rows of a (ROWS, n) times b (n, LANES): out (ROWS, LANES). */
INLINE void small_product(const float *a, int a_width, const float *b, int b_width, int n, const int ROWS, float *out,
                          int out_width) {
    Floats sum[FEW];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) sum[r] = zero_floats();
    for (int k = 0; k < n; k++) {
        Floats row = load_floats(b + (size_t)k * b_width);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) sum[r] = add_times(sum[r], row, a[(size_t)r * a_width + k]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) store_floats(out + (size_t)r * out_width, sum[r]);
}

/* a (rows, n) times b (n, columns): out (rows, columns); columns and widths in whole LANES. */
static void float_product(const float *a, int a_width, const float *b, int columns, int n, int rows, float *out) {
    for (int row = 0, few; row < rows; row += few) {
        few = rows - row >= FEW ? FEW : 1;
        for (int c = 0; c < columns; c += LANES) {
            const float *from = a + (size_t)row * a_width;
            float *to = out + (size_t)row * columns + c;
            if (few == FEW) small_product(from, a_width, b + c, columns, n, FEW, to, columns);
            else small_product(from, a_width, b + c, columns, n, 1, to, columns);
        }
    }
}

/* One attention item: a tile of queries of one head meets all keys. */
static void attend_queries(Pool *pool, const Stack *stack, int index, int head, int tile, float *scores) {
    int d = stack->width / stack->heads, count = stack_keys(stack), wide = padded(count), rows = rows_out(stack, index);
    int first = tile * QUERIES, here = rows - first < QUERIES ? rows - first : QUERIES;
    const float *turned = pool->shared.partial + head * head_floats(stack), *values = turned + (size_t)padded(d) * wide;
    const float *queries =
        pool->shared.qkv + (size_t)(first_out(stack, index) + first) * 3 * stack->width + head * d;
    const float *bias = stack->bias ? stack->bias[index] + ((size_t)head * rows + first) * count : NULL;
    float mixed[QUERIES * MAX_HEAD_DIM], scale = 1.0f / sqrtf((float)d);
    float_product(queries, 3 * stack->width, turned, wide, d, here, scores);
    for (int r = 0; r < here; r++) {
        float *own = scores + (size_t)r * wide, most = -1e30f;
        for (int j = 0; j < count; j++) own[j] = own[j] * scale + (bias ? bias[(size_t)r * count + j] : 0.0f);
        for (int j = 0; j < count; j++) most = own[j] > most ? own[j] : most;
        for (int j = 0; j < count; j++) own[j] = fast_exp(own[j] - most);
        float share = 1.0f / sum_floats(own, count);
        for (int j = 0; j < count; j++) own[j] *= share;
    }
    float_product(scores, wide, values, padded(d), count, here, mixed);
    for (int r = 0; r < here; r++)
        memcpy(pool->shared.h + (size_t)(first + r) * stack->width + head * d, mixed + (size_t)r * padded(d),
               sizeof(float) * d);
}

static void attend_all(Pool *pool, uint32_t phase, const Stack *stack, int index, float *scores) {
    int tiles = (rows_out(stack, index) + QUERIES - 1) / QUERIES;
    for (int item; (item = take(pool, phase, stack->heads * tiles)) >= 0; finish(pool))
        attend_queries(pool, stack, index, item / tiles, item % tiles, scores);
}

/* Take part in a phase until none of its items is left to take. */
static void run_stack_phase(Pool *pool, uint32_t phase, Scratch *s) {
    const Stack *stack = &pool->stack;
    int index = (int)(phase / STACK_STAGES), width = stack->width, rows = rows_out(stack, index);
    const StackLayer *layer = stack->layer + index;
    float *x = pool->shared.x, *out = x + (size_t)first_out(stack, index) * width;
    switch (phase % STACK_STAGES) {
    case STACK_QKV:
        layer_norm_and_round(stack, x, stack->rows, layer->attention_norm, layer->attention_shift, &layer->qkv, s);
        project(pool, phase, &layer->qkv, s, stack->rows, pool->shared.qkv, 3 * width, 0, layer->qkv_bias);
        break;
    case STACK_STORE: store_heads(pool, phase, stack, index); break;
    case STACK_ATTEND: attend_all(pool, phase, stack, index, s->scores); break;
    case STACK_OUT:
        round_rows(pool->shared.h, rows, width, &layer->out, s);
        project(pool, phase, &layer->out, s, rows, out, width, 1, layer->out_bias);
        break;
    case STACK_UP:
        layer_norm_and_round(stack, out, rows, layer->ffn_norm, layer->ffn_shift, &layer->up, s);
        project_through(pool, phase, &layer->up, s, rows, pool->shared.h, stack->ffn_width, layer->up_bias, gelu);
        break;
    default:
        round_rows(pool->shared.h, rows, stack->ffn_width, &layer->down, s);
        project(pool, phase, &layer->down, s, rows, out, width, 1, layer->down_bias);
    }
}

#endif
