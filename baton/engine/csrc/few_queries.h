// Few queries against a unit, straight from the pool's pages: each number is read once, and laid out in
// registers alone. Products are summed up in the order of `Product`, so a query's bits do not tell
// which of the two it went through.
#pragma once

#include "panels.h"
#include "products.h"

constexpr int FEW = 4;                    // queries, at most
constexpr int UNIT_PAGES = UNIT / PAGE;
constexpr int FETCHED = 3;                // pages that are fetched before they are worked on

// The first `count` pages of keys, those of values, and behind each those to fetch meanwhile.
template <class T>
struct UnitPages {
    const T *keys[UNIT_PAGES + FETCHED], *values[UNIT_PAGES + FETCHED];
    int count;
};

template <class N, class Cell>
struct FewQueries {
    typedef typename N::T T;
    static constexpr int PACK = Cell::PACK;
    static constexpr bool WHOLE = PACK * sizeof(T) == 4;  // stored numbers are cells already
    static constexpr int STEP = 16;                       // bytes of a key that are turned at once

    // Keys are read in steps without a rest.
    static bool take(int count, int dim) { return count <= FEW && dim * sizeof(T) % STEP == 0; }

    // scores [count][UNIT] of all positions of the pages.
    static void score(int count, const UnitPages<T>& pages, int dim, const float* query, size_t cells,
        float* scores) {
        switch (count) {
            case 1: return score_all<1>(pages, dim, query, cells, scores);
            case 2: return score_all<2>(pages, dim, query, cells, scores);
            case 3: return score_all<3>(pages, dim, query, cells, scores);
            case 4: return score_all<4>(pages, dim, query, cells, scores);
        }
    }

    template <int R>
    static void score_all(const UnitPages<T>& pages, int dim, const float* query, size_t cells,
        float* scores) {
        for (int page = 0; page < pages.count; page += 2) {
            const T* const* at = pages.keys + page;
            const int other = page + 1 < pages.count;  // else the same twice, whose scores nobody reads
            for (int v = 0; v < 2 * PAGE / VL; v += 2) {
                const T *from[2], *next[2];
                for (int w = 0; w < 2; w++) {
                    int position = (v + w) * VL, row = position % PAGE * dim;
                    const T* const* of = position < PAGE ? at : at + other;
                    from[w] = of[0] + row;
                    next[w] = of[FETCHED] + row;
                }
                score_two<R>(from, next, dim, query, cells, scores + page * PAGE + v * VL);
            }
        }
    }

    // Of twice VL positions.
    template <int R>
    static void score_two(const T* const (&from)[2], const T* const (&next)[2], int dim,
        const float* query, size_t cells, float* scores) {
        constexpr int LINES = VL / 4;  // of each of `next` in a step
        const size_t row = dim * sizeof(T);
        vf sums[R][2] = {};
        for (size_t at = 0, line = 0; at < row; at += STEP, line += LINES * 64, query += 4 * WORDS) {
            const size_t soon = at / 64 * 64 + 64, first = at % 64 / STEP * LINES;  // the keys' next lines
            vi x[2][4];
#pragma GCC unroll 2
            for (int w = 0; w < 2; w++) {
                turned_step((const char*)from[w] + at, row, x[w]);
#pragma GCC unroll 4
                for (int i = 0; i < LINES; i++)
                    fetch_far((const char*)next[w] + line + i * 64);
#pragma GCC unroll 4
                for (int i = 0; i < LINES && soon < row; i++)  // from the second cache, where all came
                    __builtin_prefetch((const char*)from[w] + (first + i) * row + soon);
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
                for (int r = 0; r < R; r++)
#pragma GCC unroll 2
                    for (int w = 0; w < 2; w++)
                        sums[r][w] = add_cells(sums[r][w], query + r * cells + i * WORDS, x[w][i]);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
            for (int w = 0; w < 2; w++) store(scores + r * UNIT + w * VL, sums[r][w]);
    }

    static constexpr int WORDS = WHOLE ? 1 : 2;  // cells in four bytes of a key

    static vf add_cells(vf sum, const float* query, vi x) {
        if constexpr (WHOLE) return Cell::add(sum, spread(query), (vf)x);
        else return Cell::add(Cell::add(sum, spread(query), N::low(x)), spread(query + 1), N::high(x));
    }

    // What values are weighed and summed up with: positions from ... to of the unit, of `steps` cells.
    struct Sum {
        const float *weights, *scales;  // [count][UNIT], [count]
        float* out;                     // [count][columns] = out * scales + the sum
        int from, to, steps, dim;
        size_t columns;
    };

    static void sum(int count, const UnitPages<T>& pages, const Sum& sum) {
        switch (count) {
            case 1: return sum_all<1, 8>(pages, sum);
            case 2: return sum_all<2, 8>(pages, sum);
            case 3: return sum_all<3, 4>(pages, sum);
            case 4: return sum_all<4, 4>(pages, sum);
        }
    }

    template <int R, int W>
    static void sum_all(const UnitPages<T>& pages, const Sum& sum) {
        constexpr int MOST = VL == 16 ? W : 2;  // vectors whose sums the registers hold
        size_t column = 0, end = sum.columns;
        for (; column + MOST * VL <= end; column += MOST * VL) sum_some<R, MOST>(pages, sum, column);
        for (; column < end; column += PACK * VL) sum_some<R, PACK>(pages, sum, column);
    }

    template <int R, int W>
    static void sum_some(const UnitPages<T>& pages, const Sum& sum, size_t column) {
        vf sums[R][W];
        float* out = sum.out + column;
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int w = 0; w < W; w++)
                sums[r][w] = load(out + r * sum.columns + w * VL) * sum.scales[r];
        for (int step = 0; step < sum.steps; step++) {
            const int t = step * PACK, left = sum.dim - (int)column;
            const size_t row = t % PAGE * sum.dim + column;
            const T *from = pages.values[t / PAGE] + row, *next = pages.values[t / PAGE + FETCHED] + row;
            for (int i = 0; i < PACK; i++)
                for (size_t at = 0; at < W * VL * sizeof(T); at += 64)
                    fetch_far((const char*)(next + i * sum.dim) + at);
            const bool first = t >= sum.from && t < sum.to;
            const bool second = PACK == 2 && t + 1 >= sum.from && t + 1 < sum.to;
            const bool all = left >= W * VL && first && (second || PACK == 1);
#pragma GCC unroll 8
            for (int w = 0; w < W; w += PACK) {
                vf y[PACK];
                if (all) cells_of(from + w * VL, from + sum.dim + w * VL, y);
                else some_cells(from + w * VL, sum.dim, left - w * VL, first, second, y);
#pragma GCC unroll 4
                for (int r = 0; r < R; r++)
#pragma GCC unroll 2
                    for (int i = 0; i < PACK; i++)
                        sums[r][w + i] = Cell::add(sums[r][w + i], spread(sum.weights + r * UNIT + step), y[i]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int w = 0; w < W; w++) store(out + r * sum.columns + w * VL, sums[r][w]);
    }

    static void cells_of(const T* first, const T* second, vf (&y)[PACK]) {
        if constexpr (PACK == 1) {
            y[0] = N::vec(first);
        } else {
            vi a, b;
            std::memcpy(&a, first, sizeof a);
            std::memcpy(&b, second, sizeof b);
            two_positions(a, b, y);
        }
    }

    // Where numbers or positions are missing, nothing stands for them.
    static void some_cells(const T* row, int dim, int left, bool first, bool second, vf (&y)[PACK]) {
        if constexpr (PACK == 1) {
            y[0] = first ? cut_vec<N>(row, left) : vf{};
        } else {
            vi a = first ? two_halves(row, left) : vi{}, b = second ? two_halves(row + dim, left) : vi{};
            two_positions(a, b, y);
        }
    }
};
