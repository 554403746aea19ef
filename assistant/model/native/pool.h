/* Sharing out a step among threads.
 *
 * A step is a row of phases, a phase a number of items. The calling thread walks through the phases; helpers join
 * whichever phase is on. A phase ends when its items are done, not when all helpers have come by, so that a helper
 * that the system has put aside holds nobody up unless it is in the middle of an item. What is small (norms,
 * rounding) every thread does for itself, which is cheaper than waiting.
 */

#ifndef POOL_H
#define POOL_H

#include <sched.h>

#include "types.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

#define HELPER_SPINS 10000 /* about 0.2 ms without work before a helper sleeps until the next step */
#define CALLER_SPINS 500   /* before the caller, waiting for the last items, lets others have its core */

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

#endif
