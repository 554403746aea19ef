/* Attention over a ring with sinks: keys turned and stored, tiles of keys scored and mixed, tiles put together. */

#ifndef ATTENTION_H
#define ATTENTION_H

#include <string.h>

#include "pool.h"
#include "vectors.h"

static void turn(const float *from, const float *cos, const float *sin, int n, float *to) {
    int half = n / 2;
    for (int i = 0; i < half; i++) {
        to[i] = from[i] * cos[i] + from[i + half] * sin[i];
        to[i + half] = from[i + half] * cos[i + half] + from[i] * sin[i + half];
    }
}

INLINE int64_t cache_row(const Session *session, int64_t position) {
    return position < session->sinks ? position
                                     : session->sinks + (position - session->sinks) % session->ring;
}

INLINE size_t head_offset(const Model *model, const Session *session, int layer, int kv_head) {
    size_t capacity = (size_t)session->sinks + session->ring;
    return ((size_t)layer * model->kv_heads + kv_head) * capacity * model->head_dim;
}

/* Turn the new keys and write them and the values to the caches. */
static void store_keys(Pool *pool, uint32_t phase, const Step *step, int layer) {
    const Model *model = step->model;
    int d = model->head_dim, total = (model->heads + 2 * model->kv_heads) * d;
    for (int item; (item = take(pool, phase, step->rows * model->kv_heads)) >= 0; finish(pool)) {
        int row = item / model->kv_heads, kv = item % model->kv_heads;
        const Session *session = step->sessions + pool->shared.owner[row];
        const float *rotary = step->rotary + (size_t)row * 4 * d;
        float *k = pool->shared.qkv + (size_t)row * total + (model->heads + kv) * d;
        if (model->layer[layer].k_norm) rms_norm(k, model->layer[layer].k_norm, model->norm_eps, d, k);
        size_t at = head_offset(model, session, layer, kv) + cache_row(session, pool->shared.position[row]) * d;
        turn(k, rotary, rotary + d, d, session->keys + at);
        memcpy(session->values + at, k + model->kv_heads * d, sizeof(float) * d);
    }
}

typedef struct {
    float most[MAX_GROUP_HEADS], sum[MAX_GROUP_HEADS];
} Softmax;

/* Scores of `count` consecutive cache rows for all query heads of a group. */
INLINE void score_rows(const float *q, const float *keys, int count, int heads, const int d, float *scores) {
    for (int h = 0; h < heads; h++)
        for (int j = 0; j < count; j++)
            scores[h * (TILE + MAX_ROWS) + j] = dot_floats(q + h * d, keys + (size_t)j * d, d);
}

INLINE void mix_rows(const float *weights, const float *values, int count, int heads, const int d, float *out) {
    float sum[MAX_HEAD_DIM];
    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < d; i++) sum[i] = out[h * d + i];
        for (int j = 0; j < count; j++)
            for (int i = 0; i < d; i++)
                sum[i] = madd(weights[h * (TILE + MAX_ROWS) + j], values[(size_t)j * d + i], sum[i]);
        for (int i = 0; i < d; i++) out[h * d + i] = sum[i];
    }
}

/* A known width keeps a whole head in registers. */
static void score(const float *q, const float *keys, int count, int heads, int d, float *scores) {
    if (d == 64) score_rows(q, keys, count, heads, 64, scores);
    else if (d == 128) score_rows(q, keys, count, heads, 128, scores);
    else score_rows(q, keys, count, heads, d, scores);
}

static void mix(const float *weights, const float *values, int count, int heads, int d, float *out) {
    if (d == 64) mix_rows(weights, values, count, heads, 64, out);
    else if (d == 128) mix_rows(weights, values, count, heads, 128, out);
    else mix_rows(weights, values, count, heads, d, out);
}

/* A run of consecutive rows of a cache. */
typedef struct {
    int64_t row;
    int count;
} Run;

/* The rows that a tile of a query covers: sinks (first tile only), then up to two runs of the ring. */
static void tile_runs(const Session *session, int64_t position, int tile, Run runs[3]) {
    int64_t sinks = position + 1 < session->sinks ? position + 1 : session->sinks;
    int64_t low = position - session->window + 1 > session->sinks ? position - session->window + 1 : session->sinks;
    int64_t first = low + (int64_t)tile * TILE, last = first + TILE - 1 < position ? first + TILE - 1 : position;
    int64_t start = (first - session->sinks) % session->ring;
    int64_t count = last >= first ? last - first + 1 : 0;
    int64_t before_wrap = count < session->ring - start ? count : session->ring - start;
    runs[0] = (Run){0, tile == 0 ? (int)sinks : 0};
    runs[1] = (Run){session->sinks + start, (int)before_wrap};
    runs[2] = (Run){session->sinks, (int)(count - before_wrap)};
}

INLINE int tiles_of(const Session *session, int64_t position) {
    int64_t seen = position + 1 - session->sinks;
    seen = seen < 0 ? 0 : seen > session->window ? session->window : seen;
    return seen ? (int)((seen + TILE - 1) / TILE) : 1;
}

/* One attention item: a tile of keys for all query heads of one key head of one row. */
static void attend_tile(Pool *pool, const Step *step, int layer, int row, int tile, int kv, float *partial) {
    const Model *model = step->model;
    int d = model->head_dim, heads = model->heads / model->kv_heads;
    const Session *session = step->sessions + pool->shared.owner[row];
    const float *rotary = step->rotary + (size_t)row * 4 * d;
    const float *own = pool->shared.qkv + (size_t)row * (model->heads + 2 * model->kv_heads) * d + kv * heads * d;
    float turned[2][MAX_GROUP_HEADS * MAX_HEAD_DIM], scores[MAX_GROUP_HEADS * (TILE + MAX_ROWS)];
    for (int h = 0; h < heads; h++) {
        float q[MAX_HEAD_DIM];
        memcpy(q, own + h * d, sizeof(float) * d);
        if (model->layer[layer].q_norm) rms_norm(q, model->layer[layer].q_norm, model->norm_eps, d, q);
        for (int i = 0; i < d; i++) q[i] /= sqrtf((float)d);
        turn(q, rotary, rotary + d, d, turned[1] + h * d);
        if (tile == 0) turn(q, rotary + 2 * d, rotary + 3 * d, d, turned[0] + h * d);
    }
    size_t base = head_offset(model, session, layer, kv);
    Run runs[3];
    tile_runs(session, pool->shared.position[row], tile, runs);
    int count = 0;
    for (int i = 0; i < 3; i++) {
        score(turned[i > 0], session->keys + base + runs[i].row * d, runs[i].count, heads, d, scores + count);
        count += runs[i].count;
    }
    Softmax *softmax = (Softmax *)partial;
    float *out = partial + sizeof(Softmax) / sizeof(float);
    for (int h = 0; h < heads; h++) {
        float *own_scores = scores + h * (TILE + MAX_ROWS), most = own_scores[0];
        for (int j = 1; j < count; j++) most = fmaxf(most, own_scores[j]);
        for (int j = 0; j < count; j++) own_scores[j] = fast_exp(own_scores[j] - most);
        softmax->most[h] = most, softmax->sum[h] = sum_floats(own_scores, count);
    }
    memset(out, 0, sizeof(float) * heads * d);
    count = 0;
    for (int i = 0; i < 3; i++) {
        mix(scores + count, session->values + base + runs[i].row * d, runs[i].count, heads, d, out);
        count += runs[i].count;
    }
}

INLINE size_t partial_floats(const Model *model) {
    return sizeof(Softmax) / sizeof(float) + (size_t)model->heads / model->kv_heads * model->head_dim;
}

static void attend(Pool *pool, uint32_t phase, const Step *step, int layer) {
    const Model *model = step->model;
    const Shared *shared = &pool->shared;
    int row = 0;
    for (int item; (item = take(pool, phase, shared->tiles[step->rows] * model->kv_heads)) >= 0; finish(pool)) {
        while (item >= shared->tiles[row + 1] * model->kv_heads) row++;
        int within = item - shared->tiles[row] * model->kv_heads;
        attend_tile(pool, step, layer, row, within / model->kv_heads, within % model->kv_heads,
                    shared->partial + item * partial_floats(model));
    }
}

/* Put the tiles of each row together and round the result for the output projection. */
static void gather(const Pool *pool, const Step *step, const Matrix *m, Scratch *s) {
    const Model *model = step->model;
    const Shared *shared = &pool->shared;
    int d = model->head_dim, heads = model->heads / model->kv_heads;
    for (int row = 0; row < step->rows; row++) {
        for (int head = 0; head < model->heads; head++) {
            int kv = head / heads, h = head % heads;
            float most = -1e30f, sum = 0.0f, *out = s->y + head * d;
            for (int i = 0; i < d; i++) out[i] = 0.0f;
            for (int tile = shared->tiles[row]; tile < shared->tiles[row + 1]; tile++) {
                const float *partial = shared->partial + ((size_t)tile * model->kv_heads + kv) * partial_floats(model);
                most = fmaxf(most, ((const Softmax *)partial)->most[h]);
            }
            for (int tile = shared->tiles[row]; tile < shared->tiles[row + 1]; tile++) {
                const float *partial = shared->partial + ((size_t)tile * model->kv_heads + kv) * partial_floats(model);
                const float *mixed = partial + sizeof(Softmax) / sizeof(float) + h * d;
                float weight = fast_exp(((const Softmax *)partial)->most[h] - most);
                sum += weight * ((const Softmax *)partial)->sum[h];
                for (int i = 0; i < d; i++) out[i] = madd(weight, mixed[i], out[i]);
            }
            for (int i = 0; i < d; i++) out[i] /= sum;
        }
        round_row(s->y, model->heads * d, m->cols, s->a, row);
    }
}

#endif
