// Rows of stored numbers, worked on as floats: read, computed with, rounded, written.
#pragma once

#include <algorithm>

#include "vector.h"

typedef uint32_t vu __attribute__((vector_size(4 * VL)));

// `count` numbers, up to the next multiple of VL.
inline int whole(int count) { return (count + VL - 1) / VL * VL; }

template <class N>
inline void put(typename N::T* p, vf x) {
    for (int i = 0; i < VL; i++) p[i] = N::back(x[i]);
}

template <>
inline void put<Float32>(float* p, vf x) { store(p, x); }

inline vu bfloat16_bits(vf x) {
    vu bits = (vu)x;
    vu near = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return x == x ? near : (vu{} + 0x7fc0);
}

template <>
inline void put<BFloat16>(uint16_t* p, vf x) {
    vh h = __builtin_convertvector(bfloat16_bits(x), vh);
    std::memcpy(p, &h, sizeof h);
}

#if defined(__AVX512F__)
template <>
inline void put<Float16>(uint16_t* p, vf x) {
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)x, 0));
}
#elif defined(__F16C__)
template <>
inline void put<Float16>(uint16_t* p, vf x) {
    _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)x, 0));
}
#endif

// As if it had been stored and read back.
template <class N>
inline vf rounded(vf x) {
    typename N::T kept[VL];
    put<N>(kept, x);
    return N::vec(kept);
}

template <>
inline vf rounded<Float32>(vf x) { return x; }

template <>
inline vf rounded<BFloat16>(vf x) { return (vf)(bfloat16_bits(x) << 16); }

// What `to` holds behind `count`, up to a whole vector, is 0.
template <class N>
inline void read_row(const typename N::T* from, int count, float* to) {
    int i = 0;
    for (; i + VL <= count; i += VL) store(to + i, N::vec(from + i));
    for (; i < count; i++) to[i] = N::one(from[i]);
    std::fill(to + i, to + whole(count), 0.f);
}

template <class N>
inline void write_row(const float* from, int count, typename N::T* to) {
    int i = 0;
    for (; i + VL <= count; i += VL) put<N>(to + i, load(from + i));
    for (; i < count; i++) to[i] = N::back(from[i]);
}

// What follows reads and writes whole vectors.

inline float mean_square(const float* x, int count) {
    vf sums[4] = {};
    for (int i = 0; i < count; i += VL) sums[i / VL % 4] += load(x + i) * load(x + i);
    return lanes_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / count;
}
