// Rows of stored numbers, worked on as floats: read, computed with, rounded, written.
#pragma once

#include <algorithm>

#include "vector.h"

typedef uint32_t vu __attribute__((vector_size(4 * VL)));

// `count` numbers, up to the next multiple of VL.
inline int whole(int count) { return (count + VL - 1) / VL * VL; }

// As if it had been stored and read back.
template <class N>
inline vf rounded(vf x) {
    typename N::T kept[VL];
    N::put(kept, x);
    return N::vec(kept);
}

template <>
inline vf rounded<Float32>(vf x) { return x; }

template <>
inline vf rounded<BFloat16>(vf x) { return BFloat16::kept(x); }

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
    for (; i + VL <= count; i += VL) N::put(to + i, load(from + i));
    if (i == count) return;
    float rest[VL] = {};
    typename N::T last[VL];
    std::copy(from + i, from + count, rest);
    N::put(last, load(rest));
    std::copy(last, last + (count - i), to + i);
}

// What follows reads and writes whole vectors.

inline float mean_square(const float* x, int count) {
    vf sums[4] = {};
    for (int i = 0; i < count; i += VL) sums[i / VL % 4] += load(x + i) * load(x + i);
    return lanes_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / count;
}
