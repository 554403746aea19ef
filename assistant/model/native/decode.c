/* One step of a Llama-family decoder on the CPU, for several rows of several sessions.
 *
 * A weight is scale * int8 + offset, with one float16 scale and offset per row and GROUP columns. Activations are
 * rounded to int16 with one scale per GROUP, so that all products are exact integers and a row's result does not depend on what else is in the batch.
 * Packed weights: blocks of LANES rows; within a block, for each pair of columns, LANES x 2 bytes. A block is read
 * front to back, once per step, whatever the number of rows: that is what a step costs.
 *
 * A step is a row of phases, a phase a number of items. The calling thread walks through the phases; helpers join
 * whichever phase is on. A phase ends when its items are done, not when all helpers have come by, so that a helper
 * that the system has put aside holds nobody up unless it is in the middle of an item. What is small (norms,
 * rounding) every thread does for itself, which is cheaper than waiting.
 */

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

#define LANES 16
#define GROUP 32
#define BLOCKS_PER_ITEM 4
#define TILE 128     /* keys per attention item */
#define MAX_ROWS 64  /* rows per call */
#define MAX_GROUP_HEADS 16
#define MAX_HEAD_DIM 256
#define HELPER_SPINS 10000 /* about 0.2 ms without work before a helper sleeps until the next step */
#define CALLER_SPINS 500   /* before the caller, waiting for the last items, lets others have its core */
#define INLINE static inline __attribute__((always_inline))

typedef struct {
    const int8_t *w;       /* packed */
    const uint16_t *scale; /* float16: blocks x groups x (scale, offset) x LANES */
    int32_t rows, cols; /* multiples of LANES and GROUP */
} Matrix;

typedef struct {
    Matrix qkv, o, gate_up, down; /* gate_up: blocks of gate and up alternate */
    const float *attention_norm, *ffn_norm, *q_norm, *k_norm, *qkv_bias; /* the last three may be null */
} Layer;

typedef struct {
    int32_t layers, width, heads, kv_heads, head_dim, ffn_width, vocabulary;
    float norm_eps;
    const Layer *layer;
    const float *norm;
    Matrix head;
} Model;

typedef struct {
    float *keys, *values; /* (layers, kv_heads, capacity, head_dim) */
    int64_t position;     /* of the first new row */
    int32_t count, sinks, window, ring;
} Session;

typedef struct {
    const Model *model;
    const Session *sessions;
    int32_t session_count, rows;
    float *x;                  /* (rows, width): inputs */
    const float *rotary;       /* (rows, 4, head_dim): cos, sin, then both towards the sinks */
    int32_t hidden_layer;      /* -1: none */
    float *hidden;             /* (rows, width) */
    float *logits;             /* (sessions, vocabulary), or null */
} Step;

typedef struct {
    float *x, *qkv, *h, *partial;
    Session sessions[MAX_ROWS];
    int32_t owner[MAX_ROWS]; /* session of each row */
    int64_t position[MAX_ROWS];
    int32_t tiles[MAX_ROWS + 1]; /* first attention tile of each row */
} Shared;

typedef struct {
    int16_t *a;    /* (MAX_ROWS, widest) rounded activations */
    float *a_scale; /* (MAX_ROWS, widest / GROUP, 2): scale, and the sum of a group's values */
    float *y;      /* (widest) */
} Scratch;

typedef struct Pool {
    int threads;
    size_t x_size, qkv_size, h_size, partial_size;
    pthread_t *handles;
    Scratch *scratch;
    Shared shared;
    Step step;
    _Atomic uint64_t ticket; /* phase in the high half, next item in the low; IDLE between steps */
    atomic_int done;         /* items of this phase */
    atomic_int active;       /* helpers that may be reading what a step set up */
    atomic_int closing, generation, sleepers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
} Pool;

typedef struct {
    Pool *pool;
    int index;
} Seat;

/* ---- sharing out the work ---- */

#define IDLE UINT64_MAX

/* Take an item of a phase: -1 when none is left or the phase is over. */
INLINE int take(Pool *pool, uint32_t phase, int items) {
    uint64_t ticket = atomic_load(&pool->ticket);
    for (;;) {
        if ((uint32_t)(ticket >> 32) != phase || (int)(uint32_t)ticket >= items) return -1;
        if (atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) return (int)(uint32_t)ticket;
    }
}

INLINE void finish(Pool *pool) { atomic_fetch_add(&pool->done, 1); }

/* The caller's side: wait for the items that helpers still hold. */
static void close_phase(Pool *pool, int items) {
    for (int spin = 0; atomic_load(&pool->done) < items; spin++)
        if (spin < CALLER_SPINS) PAUSE(); else sched_yield();
    atomic_store(&pool->done, 0);
}

/* ---- small vector work ---- */

INLINE float fast_exp(float x) { /* relative error below 3e-7 for x <= 0 */
    x = x < -87.0f ? -87.0f : x;
    float n = floorf(x * 1.44269504f + 0.5f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union { int32_t i; float f; } power = {((int32_t)n + 127) << 23};
    return p * power.f;
}

static void rms_norm(const float *x, const float *weight, float eps, int n, float *out) {
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    float scale = 1.0f / sqrtf(sum / (float)n + eps);
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

/* Round n values to int16 per group; columns beyond n up to cols are zero. */
static void round_row(const float *x, int n, int cols, int16_t *a, float *scales) {
    for (int start = 0; start < cols; start += GROUP) {
        int end = n - start < GROUP ? (n > start ? n - start : 0) : GROUP;
        float most = 0.0f;
        for (int i = 0; i < end; i++) most = fmaxf(most, fabsf(x[start + i]));
        float inverse = most > 0.0f ? 32767.0f / most : 0.0f;
        int32_t sum = 0;
        for (int i = 0; i < end; i++) a[start + i] = (int16_t)(int32_t)rintf(x[start + i] * inverse);
        for (int i = end; i < GROUP; i++) a[start + i] = 0;
        for (int i = 0; i < GROUP; i++) sum += a[start + i];
        scales[start / GROUP * 2] = most / 32767.0f;
        scales[start / GROUP * 2 + 1] = most / 32767.0f * (float)sum;
    }
}

/* ---- matrix times rows ---- */

#if defined(__AVX512BW__)
typedef __m512i Ints;
typedef __m512i Pairs;
INLINE Ints zero_ints(void) { return _mm512_setzero_si512(); }
INLINE Pairs load_pairs(const int8_t *w) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w)); }
INLINE Ints dot(Ints sum, Pairs w, const int16_t *a) {
    int32_t pair;
    memcpy(&pair, a, 4);
#if defined(__AVX512VNNI__)
    return _mm512_dpwssd_epi32(sum, w, _mm512_set1_epi32(pair));
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(w, _mm512_set1_epi32(pair)));
#endif
}
INLINE __m512 load_halves(const uint16_t *h) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h)); }
INLINE void add_scaled(float *out, Ints sum, const uint16_t *scale, const float *by) {
    __m512 factor = _mm512_mul_ps(load_halves(scale), _mm512_set1_ps(by[0]));
    __m512 shifted = _mm512_fmadd_ps(load_halves(scale + LANES), _mm512_set1_ps(by[1]), _mm512_loadu_ps(out));
    _mm512_storeu_ps(out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, shifted));
}
#else
typedef struct { int32_t v[LANES]; } Ints;
typedef struct { int16_t v[2 * LANES]; } Pairs;
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
INLINE void add_scaled(float *out, Ints sum, const uint16_t *scale, const float *by) {
    for (int i = 0; i < LANES; i++)
        out[i] += (float)sum.v[i] * (from_half(scale[i]) * by[0]) + from_half(scale[LANES + i]) * by[1];
}
#endif

/* BLOCKS blocks of LANES rows times ROWS activations: out (ROWS, BLOCKS, LANES). */
INLINE void multiply(const Matrix *m, int block, const Scratch *s, int row, const int BLOCKS, const int ROWS,
                     float *out) {
    int groups = m->cols / GROUP;
    const int8_t *w = m->w + (size_t)block * LANES * m->cols;
    const uint16_t *scale = m->scale + (size_t)block * groups * 2 * LANES;
    for (int i = 0; i < ROWS * BLOCKS * LANES; i++) out[i] = 0.0f;
    for (int g = 0; g < groups; g++) {
        Ints sum[8][BLOCKS_PER_ITEM];
        for (int r = 0; r < ROWS; r++)
            for (int b = 0; b < BLOCKS; b++) sum[r][b] = zero_ints();
        for (int k = g * GROUP; k < (g + 1) * GROUP; k += 2) {
#pragma GCC unroll 8
            for (int b = 0; b < BLOCKS; b++) {
                Pairs pairs = load_pairs(w + (size_t)b * LANES * m->cols + (size_t)k * LANES);
#pragma GCC unroll 8
                for (int r = 0; r < ROWS; r++)
                    sum[r][b] = dot(sum[r][b], pairs, s->a + (size_t)(row + r) * m->cols + k);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
            for (int b = 0; b < BLOCKS; b++)
                add_scaled(out + (r * BLOCKS + b) * LANES, sum[r][b], scale + ((size_t)b * groups + g) * 2 * LANES,
                           s->a_scale + ((size_t)(row + r) * groups + g) * 2);
    }
}

/* One item: BLOCKS_PER_ITEM blocks (fewer at the end) times all rows: out (rows, BLOCKS_PER_ITEM, LANES). */
static void multiply_item(const Matrix *m, int item, const Scratch *s, int rows, float *out) {
    int block = item * BLOCKS_PER_ITEM, left = m->rows / LANES - block;
    float part[8 * 2 * LANES];
    const int wide = BLOCKS_PER_ITEM * LANES;
    if (left >= BLOCKS_PER_ITEM && rows == 1) {
        multiply(m, block, s, 0, BLOCKS_PER_ITEM, 1, out);
        return;
    }
    for (int b = 0, blocks; b < BLOCKS_PER_ITEM && b < left; b += blocks) {
        blocks = left - b > 1 ? 2 : 1;
        for (int row = 0, n; row < rows; row += n) {
            n = rows - row >= 8 ? 8 : rows - row >= 4 ? 4 : rows - row >= 2 ? 2 : 1;
            switch (n + blocks) {
            case 8 + 2: multiply(m, block + b, s, row, 2, 8, part); break;
            case 4 + 2: multiply(m, block + b, s, row, 2, 4, part); break;
            case 2 + 2: multiply(m, block + b, s, row, 2, 2, part); break;
            case 8 + 1: multiply(m, block + b, s, row, 1, 8, part); break;
            case 4 + 1: multiply(m, block + b, s, row, 1, 4, part); break;
            default:
                if (n == 2) multiply(m, block + b, s, row, 1, 2, part);
                else if (blocks == 2) multiply(m, block + b, s, row, 2, 1, part);
                else multiply(m, block + b, s, row, 1, 1, part);
            }
            for (int r = 0; r < n; r++)
                memcpy(out + (row + r) * wide + b * LANES, part + r * blocks * LANES, sizeof(float) * blocks * LANES);
        }
    }
}

INLINE int items_of(const Matrix *m) { return (m->rows / LANES + BLOCKS_PER_ITEM - 1) / BLOCKS_PER_ITEM; }

/* ---- the parts of a layer ---- */

static void norm_and_round(const Step *step, const float *weight, const Matrix *m, Scratch *s) {
    int width = step->model->width;
    for (int r = 0; r < step->rows; r++) {
        rms_norm(step->x + (size_t)r * width, weight, step->model->norm_eps, width, s->y);
        round_row(s->y, width, m->cols, s->a + (size_t)r * m->cols, s->a_scale + (size_t)r * (m->cols / GROUP) * 2);
    }
}

/* out[r][column] = (or +=) the product, for the first `columns` rows of the matrix. */
static void project(Pool *pool, uint32_t phase, const Matrix *m, const Scratch *s, int rows, float *out, int columns, int add,
                    const float *bias) {
    float part[MAX_ROWS * BLOCKS_PER_ITEM * LANES];
    const int wide = BLOCKS_PER_ITEM * LANES;
    for (int item; (item = take(pool, phase, items_of(m))) >= 0; finish(pool)) {
        multiply_item(m, item, s, rows, part);
        int first = item * wide, n = columns - first < wide ? columns - first : wide;
        for (int r = 0; r < rows; r++) {
            float *to = out + (size_t)r * columns + first;
            for (int i = 0; i < n; i++)
                to[i] = part[r * wide + i] + (add ? to[i] : 0.0f) + (bias ? bias[first + i] : 0.0f);
        }
    }
}

static void gate_and_up(Pool *pool, uint32_t phase, const Matrix *m, const Scratch *s, int rows, float *h, int ffn_width) {
    float part[MAX_ROWS * BLOCKS_PER_ITEM * LANES];
    const int wide = BLOCKS_PER_ITEM * LANES;
    for (int item; (item = take(pool, phase, items_of(m))) >= 0; finish(pool)) {
        multiply_item(m, item, s, rows, part);
        for (int r = 0; r < rows; r++)
            for (int pair = 0; pair < BLOCKS_PER_ITEM / 2; pair++) {
                int first = (item * BLOCKS_PER_ITEM / 2 + pair) * LANES;
                const float *gate = part + r * wide + 2 * pair * LANES, *up = gate + LANES;
                float *to = h + (size_t)r * ffn_width + first;
                for (int i = 0; i < LANES && first + i < ffn_width; i++) {
                    float e = fast_exp(-fabsf(gate[i]));
                    to[i] = gate[i] * up[i] * (gate[i] < 0.0f ? e : 1.0f) / (1.0f + e);
                }
            }
    }
}

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
        for (int j = 0; j < count; j++) {
            float sum = 0.0f;
            for (int i = 0; i < d; i++) sum += q[h * d + i] * keys[(size_t)j * d + i];
            scores[h * (TILE + MAX_ROWS) + j] = sum;
        }
}

INLINE void mix_rows(const float *weights, const float *values, int count, int heads, const int d, float *out) {
    float sum[MAX_HEAD_DIM];
    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < d; i++) sum[i] = out[h * d + i];
        for (int j = 0; j < count; j++)
            for (int i = 0; i < d; i++) sum[i] += weights[h * (TILE + MAX_ROWS) + j] * values[(size_t)j * d + i];
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
        float *own_scores = scores + h * (TILE + MAX_ROWS), most = own_scores[0], sum = 0.0f;
        for (int j = 1; j < count; j++) most = fmaxf(most, own_scores[j]);
        for (int j = 0; j < count; j++) own_scores[j] = fast_exp(own_scores[j] - most);
        for (int j = 0; j < count; j++) sum += own_scores[j];
        softmax->most[h] = most, softmax->sum[h] = sum;
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
                for (int i = 0; i < d; i++) out[i] += weight * mixed[i];
            }
            for (int i = 0; i < d; i++) out[i] /= sum;
        }
        round_row(s->y, model->heads * d, m->cols, s->a + (size_t)row * m->cols,
                  s->a_scale + (size_t)row * (m->cols / GROUP) * 2);
    }
}

/* ---- phases ---- */

enum { QKV, STORE, ATTEND, OUT, GATE_UP, DOWN, STAGES };

static int items_in(const Pool *pool, const Step *step, uint32_t phase) {
    const Model *model = step->model;
    const Layer *layer = model->layer + phase / STAGES;
    if (phase == (uint32_t)model->layers * STAGES) return items_of(&model->head);
    switch (phase % STAGES) {
    case QKV: return items_of(&layer->qkv);
    case STORE: return step->rows * model->kv_heads;
    case ATTEND: return pool->shared.tiles[step->rows] * model->kv_heads;
    case OUT: return items_of(&layer->o);
    case GATE_UP: return items_of(&layer->gate_up);
    default: return items_of(&layer->down);
    }
}

static void run_head(Pool *pool, uint32_t phase, const Step *step, Scratch *s) {
    const Model *model = step->model;
    const Matrix *m = &model->head;
    int last = -1;
    for (int i = 0; i < step->session_count; i++) {
        last += step->sessions[i].count;
        rms_norm(step->x + (size_t)last * model->width, model->norm, model->norm_eps, model->width, s->y);
        round_row(s->y, model->width, m->cols, s->a + (size_t)i * m->cols, s->a_scale + (size_t)i * (m->cols / GROUP) * 2);
    }
    project(pool, phase, m, s, step->session_count, step->logits, model->vocabulary, 0, NULL);
}

/* Take part in a phase until none of its items is left to take. */
static void run_phase(Pool *pool, uint32_t phase, int thread) {
    const Step *step = &pool->step;
    const Model *model = step->model;
    Scratch *s = pool->scratch + thread;
    int index = (int)(phase / STAGES), rows = step->rows, width = model->width;
    const Layer *layer = model->layer + index;
    if (index == model->layers) {
        run_head(pool, phase, step, s);
        return;
    }
    switch (phase % STAGES) {
    case QKV:
        norm_and_round(step, layer->attention_norm, &layer->qkv, s);
        project(pool, phase, &layer->qkv, s, rows, pool->shared.qkv,
                (model->heads + 2 * model->kv_heads) * model->head_dim, 0, layer->qkv_bias);
        break;
    case STORE: store_keys(pool, phase, step, index); break;
    case ATTEND: attend(pool, phase, step, index); break;
    case OUT:
        gather(pool, step, &layer->o, s);
        project(pool, phase, &layer->o, s, rows, step->x, width, 1, NULL);
        break;
    case GATE_UP:
        norm_and_round(step, layer->ffn_norm, &layer->gate_up, s);
        gate_and_up(pool, phase, &layer->gate_up, s, rows, pool->shared.h, model->ffn_width);
        break;
    default:
        for (int r = 0; r < rows; r++)
            round_row(pool->shared.h + (size_t)r * model->ffn_width, model->ffn_width, layer->down.cols,
                      s->a + (size_t)r * layer->down.cols, s->a_scale + (size_t)r * (layer->down.cols / GROUP) * 2);
        project(pool, phase, &layer->down, s, rows, step->x, width, 1, NULL);
    }
}

static void keep_hidden(const Step *step, int layer) {
    if (layer == step->hidden_layer)
        memcpy(step->hidden, step->x, sizeof(float) * step->rows * step->model->width);
}

static void run_step(Pool *pool) {
    const Step *step = &pool->step;
    uint32_t phases = (uint32_t)step->model->layers * STAGES + (step->logits != NULL);
    for (uint32_t phase = 0; phase < phases; phase++) {
        if (phase % STAGES == 0) keep_hidden(step, (int)(phase / STAGES));
        atomic_store(&pool->ticket, (uint64_t)phase << 32);
        run_phase(pool, phase, 0);
        close_phase(pool, items_in(pool, step, phase));
    }
    if (!step->logits) keep_hidden(step, step->model->layers);
    atomic_store(&pool->ticket, IDLE);
}

static void sleep_until_next(Pool *pool, int generation) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == generation) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *help(void *argument) {
    Seat seat = *(Seat *)argument;
    free(argument);
    Pool *pool = seat.pool;
    int64_t last = -1;
    for (int spin = 0, generation = 0;;) {
        uint64_t ticket = atomic_load(&pool->ticket);
        if (atomic_load(&pool->closing)) return NULL;
        if (ticket == IDLE || (int64_t)(ticket >> 32) == last) {
            if (spin == 0) generation = atomic_load(&pool->generation);
            if (++spin > HELPER_SPINS) {
                sleep_until_next(pool, generation);
                spin = 0;
            }
            PAUSE();
            continue;
        }
        spin = 0;
        atomic_fetch_add(&pool->active, 1);
        ticket = atomic_load(&pool->ticket); /* may have become idle before we were counted */
        if (ticket != IDLE) {
            last = (int64_t)(ticket >> 32);
            run_phase(pool, (uint32_t)last, seat.index);
        }
        atomic_fetch_sub(&pool->active, 1);
    }
}

/* ---- entry points ---- */

static void wake_sleepers(Pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    if (!atomic_load(&pool->sleepers)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* `widest`: columns of the widest matrix. */
Pool *decoder_open(int threads, int widest) {
    Pool *pool = calloc(1, sizeof(Pool));
    if (!pool) return NULL;
    pool->threads = threads;
    atomic_store(&pool->ticket, IDLE);
    pool->handles = calloc(threads, sizeof(pthread_t));
    pool->scratch = calloc(threads, sizeof(Scratch));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int i = 0; i < threads; i++) {
        pool->scratch[i].a = malloc(sizeof(int16_t) * MAX_ROWS * widest);
        pool->scratch[i].a_scale = malloc(sizeof(float) * MAX_ROWS * (widest / GROUP) * 2);
        pool->scratch[i].y = malloc(sizeof(float) * widest);
    }
    for (int i = 1; i < threads; i++) {
        Seat *seat = malloc(sizeof(Seat));
        *seat = (Seat){pool, i};
        if (pthread_create(pool->handles + i, NULL, help, seat)) {
            free(seat);
            pool->threads = i;
            break;
        }
    }
    return pool;
}

static int grow(float **buffer, size_t *have, size_t need) {
    if (*have >= need) return 1;
    free(*buffer);
    *buffer = malloc(sizeof(float) * need);
    *have = *buffer ? need : 0;
    return *buffer != NULL;
}

/* Run one step; not to be called by two threads at once. 0: done, 1: no memory. */
int decoder_run(Pool *pool, const Step *step) {
    const Model *model = step->model;
    Shared *shared = &pool->shared;
    int row = 0;
    while (atomic_load(&pool->active)) sched_yield(); /* a helper that slept through the end of the last step */
    shared->tiles[0] = 0;
    for (int i = 0; i < step->session_count; i++)
        for (int j = 0; j < step->sessions[i].count; j++, row++) {
            shared->owner[row] = i;
            shared->position[row] = step->sessions[i].position + j;
            shared->tiles[row + 1] = shared->tiles[row] + tiles_of(step->sessions + i, shared->position[row]);
        }
    size_t x = (size_t)step->rows * model->width;
    size_t qkv = (size_t)step->rows * (model->heads + 2 * model->kv_heads) * model->head_dim;
    size_t h = (size_t)step->rows * model->ffn_width;
    size_t partial = (size_t)shared->tiles[step->rows] * model->kv_heads * partial_floats(model);
    if (!grow(&shared->x, &pool->x_size, x) || !grow(&shared->qkv, &pool->qkv_size, qkv) ||
        !grow(&shared->h, &pool->h_size, h) || !grow(&shared->partial, &pool->partial_size, partial))
        return 1;
    /* Helpers may look at these a little after the step: they are the pool's own. */
    memcpy(shared->x, step->x, sizeof(float) * x);
    memcpy(shared->sessions, step->sessions, sizeof(Session) * step->session_count);
    pool->step = *step;
    pool->step.x = shared->x;
    pool->step.sessions = shared->sessions;
    wake_sleepers(pool);
    run_step(pool);
    return 0;
}

void decoder_close(Pool *pool) {
    atomic_store(&pool->closing, 1);
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->generation, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->threads; i++) pthread_join(pool->handles[i], NULL);
    for (int i = 0; i < pool->threads; i++) {
        free(pool->scratch[i].a);
        free(pool->scratch[i].a_scale);
        free(pool->scratch[i].y);
    }
    free(pool->shared.x);
    free(pool->shared.qkv);
    free(pool->shared.h);
    free(pool->shared.partial);
    free(pool->handles);
    free(pool->scratch);
    free(pool);
}
