/* Small vector work: exponentials and norms. */

#ifndef VECTORS_H
#define VECTORS_H

#include <math.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* a * b + c, in one rounding where the processor has it. Compilers are told not to choose by themselves, nor to
 * reorder sums: a row's result must not depend on how many rows are with it.
 */
INLINE float madd(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE float fast_exp(float x) { /* relative error below 3e-7 for x <= 0 */
    x = x < -87.0f ? -87.0f : x;
    float n = floorf(madd(x, 1.44269504f, 0.5f));
    float r = madd(n, 2.12194440e-4f, madd(n, -0.693359375f, x));
    float p = 1.9875691500e-4f;
    p = madd(p, r, 1.3981999507e-3f);
    p = madd(p, r, 8.3334519073e-3f);
    p = madd(p, r, 4.1665795894e-2f);
    p = madd(p, r, 1.6666665459e-1f);
    p = madd(p, r, 5.0000001201e-1f);
    p = madd(p * r, r, r) + 1.0f;
    union { int32_t i; float f; } power = {((int32_t)n + 127) << 23};
    return p * power.f;
}

/* x times the normal distribution's share below x; its error function after Abramowitz and Stegun 1964, 7.1.26, off by
 * at most 2e-7.
 */
INLINE float gelu(float x) {
    float z = fabsf(x) * 0.70710678f, t = 1.0f / madd(0.3275911f, z, 1.0f);
    float p = madd(1.061405429f, t, -1.453152027f);
    p = madd(p, t, 1.421413741f);
    p = madd(p, t, -0.284496736f);
    p = madd(p, t, 0.254829592f);
    float tail = p * t * fast_exp(-z * z);
    return 0.5f * x * (x < 0.0f ? tail : 2.0f - tail);
}

INLINE float silu(float x) {
    float e = fast_exp(-fabsf(x));
    return x * (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

#define PARTS 16 /* partial sums, which a vector holds */

INLINE float sum_parts(float parts[PARTS]) {
#pragma GCC unroll 4
    for (int half = PARTS / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < half; l++) parts[l] += parts[l + half];
    return parts[0];
}

INLINE float dot_floats(const float *a, const float *b, int n) {
    float parts[PARTS] = {0.0f};
    int i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int l = 0; l < PARTS; l++) parts[l] = madd(a[i + l], b[i + l], parts[l]);
    for (int l = 0; i < n; i++, l++) parts[l] = madd(a[i], b[i], parts[l]);
    return sum_parts(parts);
}

INLINE float sum_floats(const float *a, int n) {
    float parts[PARTS] = {0.0f};
    int i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int l = 0; l < PARTS; l++) parts[l] += a[i + l];
    for (int l = 0; i < n; i++, l++) parts[l] += a[i];
    return sum_parts(parts);
}

static void rms_norm(const float *x, const float *weight, float eps, int n, float *out) {
    float sum = dot_floats(x, x, n);
    float scale = 1.0f / sqrtf(sum / (float)n + eps);
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

#endif
