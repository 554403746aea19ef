/* What a step works on: the model, the sessions, and what the threads share. */

#ifndef TYPES_H
#define TYPES_H

#include <pthread.h>
#include <stdatomic.h>

#include "matrix.h"

#define TILE 128    /* keys per attention item */
#define MAX_ROWS 128 /* rows per call */
#define MAX_GROUP_HEADS 16
#define MAX_HEAD_DIM 256

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
    const Matrix *m;
    const float *x;    /* (rows, width) */
    const float *bias; /* (columns), or null */
    float *out;        /* (rows, columns): the first so many rows of the matrix */
    int32_t rows, width, columns;
} Product;

typedef struct {
    Matrix qkv, out, up, down;
    const float *qkv_bias, *out_bias, *up_bias, *down_bias;
    const float *attention_norm, *attention_shift, *ffn_norm, *ffn_shift;
} StackLayer;

typedef struct {
    const StackLayer *layer;
    const float *const *past; /* of each layer (2, heads, seen, head_dim): keys and values; or null */
    float *const *memory;     /* of each layer (2, heads, seen + rows, head_dim), to be filled; or null */
    const float *const *bias; /* of each layer (heads, rows, seen + rows), on the scores; or null */
    const float *x;           /* (rows, width) */
    float *out;               /* (given, width): those rows from `first` on */
    int32_t layers, rows, width, heads, ffn_width, seen, first, given;
    float eps;
} Stack;

typedef struct {
    Matrix up, down;
    const float *up_bias, *down_bias;
    const float *conv, *conv_bias; /* (kernel, width) and (width) */
    const float *norm, *shift, *scale;
} ConvLayer;

typedef struct {
    const ConvLayer *layer;
    const float *const *tails; /* of each layer (kernel - 1, width): the frames before */
    float *const *kept;        /* the same for the next call, to be filled */
    float *x;                  /* (rows, width), in and out */
    int32_t layers, rows, width, hidden, kernel;
    float eps;
} Convs;

typedef struct {
    float *x, *qkv, *h, *partial;
    Session sessions[MAX_ROWS];
    int32_t owner[MAX_ROWS]; /* session of each row */
    int64_t position[MAX_ROWS];
    int32_t tiles[MAX_ROWS + 1]; /* first attention tile of each row */
} Shared;

typedef struct {
    Rounded a; /* (MAX_ROWS, widest) */
    float *y;  /* (widest) */
    float *scores;
    size_t scores_size;
} Scratch;

enum { STEP, PRODUCT, STACK, CONVS };

typedef struct Pool {
    int threads;
    size_t x_size, qkv_size, h_size, partial_size;
    pthread_t *handles;
    Scratch *scratch;
    Shared shared;
    int job; /* which of the next ones is being run */
    Step step;
    Product product;
    Stack stack;
    Convs convs;
    uint32_t products; /* how many there have been */
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

#endif
