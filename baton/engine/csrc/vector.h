// Vectors of the width that the compiler was told to build for, and the functions on them that
// attention needs. GCC's vector extensions keep one source for every instruction set.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int VL = 16;  // floats of a vector
#elif defined(__AVX2__)
constexpr int VL = 8;
#else
constexpr int VL = 4;
#endif

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint16_t vh __attribute__((vector_size(2 * VL)));

inline vf splat(float x) { return x - vf{}; }
inline vf load(const float* p) { vf x; std::memcpy(&x, p, sizeof x); return x; }
inline void store(float* p, vf x) { std::memcpy(p, &x, sizeof x); }
inline float lanes_sum(vf x) { float s = 0; for (int i = 0; i < VL; i++) s += x[i]; return s; }

// How numbers are stored in the pool and in activations; all arithmetic is in float.
struct Float32 {
    typedef float T;
    static vf vec(const T* p) { return load(p); }
    static float one(T x) { return x; }
    static T back(float x) { return x; }
};

struct BFloat16 {
    typedef uint16_t T;
#if defined(__AVX512F__)  // of what is below GCC 12 makes twice the instructions
    static vf vec(const T* p) {
        return (vf)((vi)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)) << 16);
    }
#elif defined(__AVX2__)
    static vf vec(const T* p) {
        return (vf)((vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)) << 16);
    }
#else
    static vf vec(const T* p) {
        vh h;
        std::memcpy(&h, p, sizeof h);
        return (vf)(__builtin_convertvector(h, vi) << 16);
    }
#endif
    static float one(T x) {
        uint32_t bits = (uint32_t)x << 16;
        float f;
        std::memcpy(&f, &bits, 4);
        return f;
    }
    static T back(float x) {  // to the nearest, ties to even
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        if (x != x) return 0x7fc0;
        return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    }
};

struct Float16 {
    typedef uint16_t T;
#if defined(__AVX512F__)
    static vf vec(const T* p) {
        return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
    }
#elif defined(__F16C__)
    static vf vec(const T* p) { return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
#else
    static vf vec(const T* p) {
        vf x;
        for (int i = 0; i < VL; i++) x[i] = one(p[i]);
        return x;
    }
#endif
#if defined(__F16C__)
    static float one(T x) { return _cvtsh_ss(x); }
    static T back(float x) { return _cvtss_sh(x, 0); }
#else
    static float one(T x) {
        uint32_t sign = (uint32_t)(x & 0x8000) << 16, rest = x & 0x7fff, bits;
        float f;
        if (rest >= 0x7c00) {
            bits = 0x7f800000 | (rest & 0x3ff) << 13;
        } else {  // 2^112 makes up for the exponents' other bias, subnormals included
            bits = rest << 13;
            std::memcpy(&f, &bits, 4);
            f *= 0x1p112f;
            std::memcpy(&bits, &f, 4);
        }
        bits |= sign;
        std::memcpy(&f, &bits, 4);
        return f;
    }
    static T back(float x) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        T sign = bits >> 16 & 0x8000;
        float a = std::fabs(x);
        if (x != x) return sign | 0x7e00;
        if (a >= 65520.f) return sign | 0x7c00;
        if (a < 0x1p-14f) return sign | (T)std::nearbyint(a * 0x1p24f);
        std::memcpy(&bits, &a, 4);
        bits += 0xfff + ((bits >> 13) & 1);
        return sign | (T)((bits >> 13) - (112 << 10));
    }
#endif
};

// e^x to about an ulp; 0 below the smallest normal number. A NaN stays one.
inline vf exp_of(vf x) {
    vf low = splat(-87.3f), high = splat(88.f), magic = splat(12582912.f);  // 1.5 * 2^23
    vf clamped = x < low ? low : x;
    clamped = clamped > high ? high : clamped;
    vf shifted = clamped * 1.44269504088896341f + magic;
    vf n = shifted - magic;
    vf r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
    vf p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    vi power = ((vi)shifted - (vi)magic + 127) << 23;
    p *= (vf)power;
    return x < low ? vf{} : p;
}

inline vf tanh_of(vf x) {
    vf z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    p = p * z * x + x;
    vf away = x < vf{} ? -x : x;
    vf far = 1.f - 2.f / (exp_of(away * 2.f) + 1.f);
    far = x < vf{} ? -far : far;
    return away < splat(0.625f) ? p : far;
}

// A mask for __builtin_shuffle that takes `run` lanes of one vector, then as many of the other, and
// so on; `odd` takes those that the other mask leaves.
inline vi interleaved(int run, bool odd) {
    vi mask = {};
    for (int i = 0; i < VL; i++) mask[i] = i / (2 * run) * 2 * run + i % run + odd * run + (i / run % 2) * VL;
    return mask;
}

// The sums of the lanes of four vectors, each in the same order.
inline void four_sums(const vf* a, float* out) {
    vf p = __builtin_shuffle(a[0], a[1], interleaved(1, false)) +
           __builtin_shuffle(a[0], a[1], interleaved(1, true));
    vf q = __builtin_shuffle(a[2], a[3], interleaved(1, false)) +
           __builtin_shuffle(a[2], a[3], interleaved(1, true));
    vf sums = __builtin_shuffle(p, q, interleaved(2, false)) +
              __builtin_shuffle(p, q, interleaved(2, true));
    for (int half = VL / 2; half >= 4; half /= 2) {
        vi mask = {};
        for (int i = 0; i < VL; i++) mask[i] = i ^ half;
        sums += __builtin_shuffle(sums, mask);
    }
    std::memcpy(out, &sums, 16);
}
