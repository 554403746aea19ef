/* What the pool's threads run: a step of a Llama-family decoder for several rows of several sessions, hearing's layers
 * (stack.h), the voice's (convs.h), or one product. The decoder's phases, and the entry points. Weights and activations: matrix.h; threads: pool.h.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "convs.h"
#include "project.h"
#include "stack.h"

/* ---- the parts of a layer ---- */

static void norm_and_round(const Step *step, const float *weight, const Matrix *m, Scratch *s) {
    int width = step->model->width;
    for (int r = 0; r < step->rows; r++) {
        rms_norm(step->x + (size_t)r * width, weight, step->model->norm_eps, width, s->y);
        round_row(s->y, width, m->cols, s->a, r);
    }
}

static void gate_and_up(Pool *pool, uint32_t phase, const Matrix *m, const Scratch *s, int rows, float *h, int ffn_width) {
    float part[MAX_ROWS * WIDE];
    for (int item; (item = take(pool, phase, items_of(m))) >= 0; finish(pool)) {
        multiply_item(m, item, s->a, rows, part);
        for (int r = 0; r < rows; r++)
            for (int pair = 0; pair < BLOCKS_PER_ITEM / 2; pair++) {
                int first = (item * BLOCKS_PER_ITEM / 2 + pair) * LANES;
                const float *gate = part + r * WIDE + 2 * pair * LANES, *up = gate + LANES;
                float *to = h + (size_t)r * ffn_width + first;
                for (int i = 0; i < LANES && first + i < ffn_width; i++) {
                    float e = fast_exp(-fabsf(gate[i]));
                    to[i] = gate[i] * up[i] * (gate[i] < 0.0f ? e : 1.0f) / (1.0f + e);
                }
            }
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
        round_row(s->y, model->width, m->cols, s->a, i);
    }
    project(pool, phase, m, s, step->session_count, step->logits, model->vocabulary, 0, NULL);
}

static void run_product(Pool *pool, uint32_t phase, Scratch *s) {
    const Product *p = &pool->product;
    s->a.rows = p->rows;
    for (int r = 0; r < p->rows; r++) round_row(p->x + (size_t)r * p->width, p->width, p->m->cols, s->a, r);
    project(pool, phase, p->m, s, p->rows, p->out, p->columns, 0, p->bias);
}

/* Take part in a phase until none of its items is left to take. */
static void run_phase(Pool *pool, uint32_t phase, int thread) {
    if (pool->job != STEP) {
        if (pool->job == PRODUCT) run_product(pool, phase, pool->scratch + thread);
        else if (pool->job == STACK) run_stack_phase(pool, phase, pool->scratch + thread);
        else run_convs_phase(pool, phase, thread);
        return;
    }
    const Step *step = &pool->step;
    const Model *model = step->model;
    Scratch *s = pool->scratch + thread;
    int index = (int)(phase / STAGES), rows = step->rows, width = model->width;
    const Layer *layer = model->layer + index;
    s->a.rows = index == model->layers ? step->session_count : rows;
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
            round_row(pool->shared.h + (size_t)r * model->ffn_width, model->ffn_width, layer->down.cols, s->a, r);
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
Pool *pool_open(int threads, int widest) {
    Pool *pool = calloc(1, sizeof(Pool));
    if (!pool) return NULL;
    pool->threads = threads;
    atomic_store(&pool->ticket, IDLE);
    pool->handles = calloc(threads, sizeof(pthread_t));
    pool->scratch = calloc(threads, sizeof(Scratch));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int i = 0; i < threads; i++) {
        pool->scratch[i].a.pairs = malloc(sizeof(int16_t) * MAX_ROWS * widest);
        pool->scratch[i].a.scales = malloc(sizeof(float) * MAX_ROWS * (widest / GROUP) * 2);
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
int pool_step(Pool *pool, const Step *step) {
    const Model *model = step->model;
    Shared *shared = &pool->shared;
    int row = 0;
    while (atomic_load(&pool->active)) sched_yield(); /* a helper that slept through the end of the last step */
    pool->job = STEP;
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

/* Run hearing's layers; not to be called by two threads at once. 0: done, 1: no memory. */
int pool_stack(Pool *pool, const Stack *whole) {
    Shared *shared = &pool->shared;
    while (atomic_load(&pool->active)) sched_yield();
    size_t x = (size_t)whole->rows * whole->width, wide = (size_t)padded(stack_keys(whole));
    if (!grow(&shared->x, &pool->x_size, x) || !grow(&shared->qkv, &pool->qkv_size, 3 * x) ||
        !grow(&shared->h, &pool->h_size, (size_t)whole->rows * whole->ffn_width) ||
        !grow(&shared->partial, &pool->partial_size, whole->heads * head_floats(whole)))
        return 1;
    for (int i = 0; i < pool->threads; i++)
        if (!grow(&pool->scratch[i].scores, &pool->scratch[i].scores_size, QUERIES * wide)) return 1;
    memcpy(shared->x, whole->x, sizeof(float) * x);
    pool->stack = *whole;
    pool->job = STACK;
    wake_sleepers(pool);
    for (uint32_t phase = 0; phase < (uint32_t)whole->layers * STACK_STAGES; phase++) {
        atomic_store(&pool->ticket, (uint64_t)phase << 32);
        run_stack_phase(pool, phase, pool->scratch);
        close_phase(pool, stack_items(&pool->stack, phase));
    }
    atomic_store(&pool->ticket, IDLE);
    memcpy(whole->out, shared->x + (size_t)whole->first * whole->width, sizeof(float) * whole->given * whole->width);
    return 0;
}

/* Run the voice's blocks; not to be called by two threads at once. 0: done, 1: no memory. */
int pool_convs(Pool *pool, const Convs *whole) {
    Shared *shared = &pool->shared;
    while (atomic_load(&pool->active)) sched_yield();
    size_t x = (size_t)whole->rows * whole->width;
    if (!grow(&shared->x, &pool->x_size, x) || !grow(&shared->h, &pool->h_size, (size_t)whole->rows * whole->hidden)) return 1;
    memcpy(shared->x, whole->x, sizeof(float) * x);
    pool->convs = *whole;
    pool->job = CONVS;
    if (whole->rows > TALL) wake_sleepers(pool);
    for (uint32_t phase = 0; phase < (uint32_t)whole->layers * CONVS_STAGES; phase++) {
        atomic_store(&pool->ticket, (uint64_t)phase << 32);
        run_convs_phase(pool, phase, 0);
        close_phase(pool, convs_items(&pool->convs, phase));
    }
    atomic_store(&pool->ticket, IDLE);
    memcpy(whole->x, shared->x, sizeof(float) * x);
    return 0;
}

/* A product on its own, with the pool's threads; not to be called by two threads at once. A few rows are done before
 * a sleeping helper would be up.
 */
void pool_multiply(Pool *pool, const Product *whole) {
    int rows = whole->rows;
    for (int row = 0; row < rows; row += MAX_ROWS) {
        while (atomic_load(&pool->active)) sched_yield();
        Product *part = &pool->product;
        *part = *whole;
        pool->job = PRODUCT;
        part->x += (size_t)row * part->width;
        part->out += (size_t)row * part->columns;
        part->rows = rows - row < MAX_ROWS ? rows - row : MAX_ROWS;
        if (part->rows > TALL) wake_sleepers(pool);
        uint32_t phase = ++pool->products & INT32_MAX; /* no helper has seen it */
        atomic_store(&pool->ticket, (uint64_t)phase << 32);
        run_phase(pool, phase, 0);
        close_phase(pool, items_of(part->m));
        atomic_store(&pool->ticket, IDLE);
    }
}

void pool_close(Pool *pool) {
    atomic_store(&pool->closing, 1);
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->generation, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->threads; i++) pthread_join(pool->handles[i], NULL);
    for (int i = 0; i < pool->threads; i++) {
        free(pool->scratch[i].a.pairs);
        free(pool->scratch[i].a.scales);
        free(pool->scratch[i].y);
        free(pool->scratch[i].scores);
    }
    free(pool->shared.x);
    free(pool->shared.qkv);
    free(pool->shared.h);
    free(pool->shared.partial);
    free(pool->handles);
    free(pool->scratch);
    free(pool);
}
