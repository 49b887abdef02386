// Keys and values of a unit, read from the pool's pages once and laid out as products want them.
#pragma once

#include <algorithm>

#include "functions.h"

constexpr int PAGE = 16;  // positions that never leave a block
constexpr int UNIT = 64;  // positions whose scores are held at once

// Up to `count` numbers of a row, and nothing behind them.
template <class N>
inline vf cut_vec(const typename N::T* from, int count) {
    if (count >= VL) return N::vec(from);
    typename N::T padded[VL] = {};
    if (count > 0) std::memcpy(padded, from, count * sizeof *from);
    return N::vec(padded);
}

inline void prefetch(const void* row, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char*)row + at);
}

// Up to `count` halves of a row as cells, and nothing behind them.
inline vi two_halves(const uint16_t* from, int count) {
    vi x = {};
    if (count >= 2 * VL) std::memcpy(&x, from, sizeof x);
    else std::memcpy(&x, from, 2 * count);
    return x;
}

// Halves of two positions as cells: the even ones of 2 * VL columns, then the odd ones.
inline void two_positions(vi first, vi second, vf (&cells)[2]) {
    cells[0] = (vf)((first & 0xffff) | (second << 16));
    cells[1] = (vf)(((first >> 16) & 0xffff) | (second & (int32_t)0xffff0000));
}

// A page of keys as PAGE columns of cells in the panel, whose rows are UNIT cells: their transpose.
// `next` is fetched meanwhile, unless it is null.
template <class N, int PACK>
void pack_keys(const typename N::T* page, int dim, const typename N::T* next, float* panel) {
    constexpr bool whole = PACK * sizeof(typename N::T) == 4;  // cells stay what they are
    constexpr size_t SIDE = 4 * VL;                            // bytes of a square's rows
    const size_t row = dim * sizeof *page;
    for (int first = 0; first < PAGE; first += VL, page += VL * dim, panel += VL) {
        for (size_t at = 0; at < row; at += SIDE) {
            vi x[VL];
            if (at + SIDE <= row) {
                turned((const char*)page + at, row, x);
            } else {
                char padded[VL * SIDE] = {};
                for (int i = 0; i < VL; i++)
                    std::memcpy(padded + i * SIDE, (const char*)(page + i * dim) + at, row - at);
                turned(padded, SIDE, x);
            }
            float* to = panel + at / sizeof *page / PACK * UNIT;
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) {
                if (next) __builtin_prefetch((const char*)(next + (first + i) * dim) + at);
                if constexpr (whole) {
                    store(to + i * UNIT, (vf)x[i]);
                } else {
                    store(to + 2 * i * UNIT, N::low(x[i]));
                    store(to + (2 * i + 1) * UNIT, N::high(x[i]));
                }
            }
        }
    }
}

// The positions from ... to of a page of values as rows of cells; nothing for its other positions.
// In cells of two positions, every 2 * VL columns have first the even ones, then the odd ones.
template <class N, int PACK>
void pack_values(const typename N::T* page, int from, int to, int dim, const typename N::T* next,
    float* panel, size_t columns) {
    for (int t = 0; t < PAGE; t += PACK, panel += columns) {
        const typename N::T* row = page + t * dim;
        bool first = t >= from && t < to, second = t + 1 >= from && t + 1 < to;
        if (next) prefetch(next + t * dim, PACK * dim * sizeof *page);
        for (int d = 0; d < dim; d += PACK * VL) {
            if constexpr (PACK == 1) {
                store(panel + d, first ? cut_vec<N>(row + d, dim - d) : vf{});
            } else {
                vi x = first ? two_halves(row + d, dim - d) : vi{};
                vi y = second ? two_halves(row + dim + d, dim - d) : vi{};
                vf cells[2];
                two_positions(x, y, cells);
                store(panel + d, cells[0]);
                store(panel + d + VL, cells[1]);
            }
        }
    }
}
