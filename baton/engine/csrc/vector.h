// Vectors of the width that the compiler was told to build for, and the functions on them that
// attention needs. GCC's vector extensions keep one source for every instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int VL = 16;  // floats of a vector
#elif defined(__AVX2__)
constexpr int VL = 8;
#else
constexpr int VL = 4;
#endif

// By order: where a call of its own would let registers go through memory.
#define INLINED [[gnu::always_inline]] inline

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint16_t vh __attribute__((vector_size(2 * VL)));

// Asked of memory for the second cache, which holds far more than the first and has more lines on their way.
// Inlined by order as well: GCC takes a call that does nothing but this for one that does nothing.
INLINED void fetch_far(const void* line) { __builtin_prefetch(line, 0, 2); }

inline vf splat(float x) { return x - vf{}; }
inline vf load(const float* p) { vf x; std::memcpy(&x, p, sizeof x); return x; }
inline void store(float* p, vf x) { std::memcpy(p, &x, sizeof x); }
inline vi lanes() { vi x = {}; for (int i = 0; i < VL; i++) x[i] = i; return x; }

inline vf floats_of(const int8_t* from) {
#if defined(__AVX512F__)
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
    int8_t x __attribute__((vector_size(VL)));
    std::memcpy(&x, from, sizeof x);
    return __builtin_convertvector(x, vf);
#endif
}

// x y + z, rounded once where the CPU can: said, not left to the compiler, whose choice would hang
// on what stands around it, and a row's bits with it.
inline vf fused(vf x, vf y, vf z) {
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)x, (__m512)y, (__m512)z);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps((__m256)x, (__m256)y, (__m256)z);
#else
    return x * y + z;
#endif
}

inline vf larger(vf x, vf than) {  // `than` where x is no number
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)x, (__m512)than);
#else
    return than < x ? x : than;
#endif
}

// Lane 0 has what comes of all lanes, always in the same order.
template <class Act>
inline float over_lanes(vf x, Act act) {
    for (int half = VL / 2; half; half /= 2) x = act(x, __builtin_shuffle(x, lanes() ^ half));
    return x[0];
}

inline float lanes_sum(vf x) { return over_lanes(x, [](vf a, vf b) { return a + b; }); }
inline float lanes_max(vf x) { return over_lanes(x, [](vf a, vf b) { return larger(a, b); }); }

// Lanes low ... high - 1 of x, `other` in the rest.
inline vf between(vf x, int low, int high, float other) {
#if defined(__AVX512F__)
    int seen = (high >= VL ? 0xffff : high > 0 ? (1 << high) - 1 : 0) & (low < VL ? -1 << std::max(low, 0) : 0);
    return (vf)_mm512_mask_blend_ps(seen, (__m512)splat(other), (__m512)x);
#else
    return (lanes() >= low) & (lanes() < high) ? x : splat(other);
#endif
}

// How numbers are stored in the pool and in activations; all arithmetic is in float. A cell is four
// bytes: one float, or two halves, `low` and `high`.
struct Float32 {
    typedef float T;
    static vf vec(const T* p) { return load(p); }
    static float one(T x) { return x; }
    static void put(T* p, vf x) { store(p, x); }
    static void put_two(T* p, vf x, vf y) { put(p, x), put(p + VL, y); }
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
    static vf low(vi cells) { return (vf)(cells << 16); }
    static vf high(vi cells) { return (vf)(cells & (int32_t)0xffff0000); }
    static vi rounded(vf x) {  // in the upper halves: to the nearest, ties to even
        vi bits = (vi)x;
        return x == x ? bits + 0x7fff + ((bits >> 16) & 1) : vi{} + 0x7fc00000;
    }
#if defined(__AVX512BF16__)  // of what is not normal, and of no size that matters, these make 0
    static __m256i halves(vf x) { return (__m256i)_mm512_cvtneps_pbh((__m512)x); }
    static vf kept(vf x) { return (vf)((vi)_mm512_cvtepu16_epi32(halves(x)) << 16); }
#else
    static vf kept(vf x) { return (vf)(rounded(x) & (int32_t)0xffff0000); }
#endif
    static void put(T* p, vf x) {
#if defined(__AVX512BF16__)
        _mm256_storeu_si256((__m256i*)p, halves(x));
#elif defined(__AVX512F__)
        _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16((__m512i)(rounded(x) >> 16)));
#else
        vh h = __builtin_convertvector(rounded(x) >> 16, vh);
        std::memcpy(p, &h, sizeof h);
#endif
    }
    static void put_two(T* p, vf x, vf y) {
#if defined(__AVX512BF16__)
        _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x));
#else
        put(p, x), put(p + VL, y);
#endif
    }
    static void put_turns(T* p, vf x, vf y) {  // one of x, one of y, and so on
        vi cells = ((rounded(x) >> 16) & 0xffff) | (rounded(y) & (int32_t)0xffff0000);
        std::memcpy(p, &cells, sizeof cells);
    }
};

struct Float16 {
    typedef uint16_t T;
    static void put_two(T* p, vf x, vf y) { put(p, x), put(p + VL, y); }
#if defined(__AVX512F__)
    static vf vec(const T* p) {
        return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
    }
    static vf low(vi cells) { return (vf)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)cells)); }
    static vf high(vi cells) { return low((vi)_mm512_srli_epi32((__m512i)cells, 16)); }
    static void put(T* p, vf x) { _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)x, 0)); }
#elif defined(__AVX2__)
    static vf vec(const T* p) { return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
    static vf low(vi cells) {
        return of_words(_mm256_and_si256((__m256i)cells, _mm256_set1_epi32(0xffff)));
    }
    static vf high(vi cells) { return of_words(_mm256_srli_epi32((__m256i)cells, 16)); }
    static vf of_words(__m256i x) {
        __m128i upper = _mm256_extracti128_si256(x, 1);
        return (vf)_mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(x), upper));
    }
    static void put(T* p, vf x) { _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)x, 0)); }
#endif
#if defined(__AVX2__)
    static float one(T x) { return _cvtsh_ss(x); }
#else
    static vf vec(const T* p) {
        vf x;
        for (int i = 0; i < VL; i++) x[i] = one(p[i]);
        return x;
    }
    static vf low(vi cells) {
        vf x;
        for (int i = 0; i < VL; i++) x[i] = one(cells[i] & 0xffff);
        return x;
    }
    static vf high(vi cells) { return low((cells >> 16) & 0xffff); }
    static void put(T* p, vf x) { for (int i = 0; i < VL; i++) p[i] = back(x[i]); }
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
