// Products of matrices of cells: c = a b, or c = c * scales + a b. A cell is four bytes: one float, or
// two bfloat16 that belong to two consecutive steps of the sum. Each number of c is summed up in the
// order of the steps whatever the sizes are, so a row's bits do not hang on the rows beside it.
#pragma once

#include <cstddef>

#include "tiles.h"
#include "vector.h"

struct Product {
    const float* a;  // [rows][steps]
    const float* b;  // [steps][columns], columns in whole vectors
    float* c;        // [rows][columns]
    size_t a_row, b_row, c_row;
    const float* scales;  // of the rows of c; null: c is what it is set to
    int rows, columns, steps;
};

// The bits of a cell in every lane.
inline vf spread(const float* p) {
    int32_t x;
    std::memcpy(&x, p, 4);
    return (vf)(x - vi{});
}

struct Floats {
    static constexpr int PACK = 1;  // numbers in a cell
    static vf add(vf sum, vf x, vf y) { return fused(x, y, sum); }
};

#if defined(__AVX512BF16__)
struct Pairs {
    static constexpr int PACK = 2;
    static vf add(vf sum, vf x, vf y) {
        return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
    }
};
#endif

// R rows by W vectors of c, held in registers.
template <class Cell, int R, int W>
void block_product(const Product& p, int row, int column) {
    const float *a = p.a + row * p.a_row, *b = p.b + column;
    float* c = p.c + row * p.c_row + column;
    vf sum[R][W];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int w = 0; w < W; w++)
            sum[r][w] = p.scales ? load(c + r * p.c_row + w * VL) * p.scales[row + r] : vf{};
    for (int step = 0; step < p.steps; step++, b += p.b_row) {
        vf y[W];
#pragma GCC unroll 4
        for (int w = 0; w < W; w++) y[w] = load(b + w * VL);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            vf x = spread(a + r * p.a_row + step);
#pragma GCC unroll 4
            for (int w = 0; w < W; w++) sum[r][w] = Cell::add(sum[r][w], x, y[w]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int w = 0; w < W; w++) store(c + r * p.c_row + w * VL, sum[r][w]);
}

#if defined(__AVX512F__)
constexpr int TALL = 6, WIDE = 4;  // of the 32 registers 24 sum up
#else
constexpr int TALL = 6, WIDE = 2;  // of 16, 12
#endif

template <class Cell, int R>
void rows_product(const Product& p, int row) {
    int vectors = p.columns / VL, column = 0;
    for (; vectors >= WIDE; vectors -= WIDE, column += WIDE * VL)
        block_product<Cell, R, WIDE>(p, row, column);
#if defined(__AVX512F__)
    if (vectors == 3) block_product<Cell, R, 3>(p, row, column);
    if (vectors == 2) block_product<Cell, R, 2>(p, row, column);
#endif
    if (vectors == 1) block_product<Cell, R, 1>(p, row, column);
}

// In registers.
template <class Number>
struct Vectors {
    typedef Number Cell;
    static constexpr int PACK = Cell::PACK;
    static constexpr int ROWS = 1, STEPS = 1;  // that rows and steps are made up to with nothing
    static constexpr int TOGETHER = 4 * TALL;  // rows whose scores are held at once

    struct Setup {};

    static void run(const Product& p) {
        int row = 0;
        for (; row + TALL <= p.rows; row += TALL) rows_product<Cell, TALL>(p, row);
        switch (p.rows - row) {
            case 5: return rows_product<Cell, 5>(p, row);
            case 4: return rows_product<Cell, 4>(p, row);
            case 3: return rows_product<Cell, 3>(p, row);
            case 2: return rows_product<Cell, 2>(p, row);
            case 1: return rows_product<Cell, 1>(p, row);
        }
    }
};

#if defined(BATON_TILES)
// In the tiles of the matrix unit, 16 rows by 16 cells each: rows, columns and steps in sixteens.
struct Tiled {
    static constexpr int PACK = 2, ROWS = 16, STEPS = 16, TOGETHER = 32;
    typedef Tiles Setup;

    static void run(const Product& p) {
        if (p.scales)
            for (int row = 0; row < p.rows; row++)
                for (int column = 0; column < p.columns; column += VL) {
                    float* c = p.c + row * p.c_row + column;
                    store(c, load(c) * p.scales[row]);
                }
        for (int row = 0; row < p.rows; row += 32)
            for (int column = 0; column < p.columns; column += 32)
                block(p, row, column, row + 16 < p.rows, column + 16 < p.columns);
    }

    template <int T>
    static void start(const Product& p, const float* c) {
        p.scales ? Tiles::load<T>(c, p.c_row) : Tiles::clear<T>();
    }

    // Four tiles of c, or those of them that are there.
    static void block(const Product& p, int row, int column, bool tall, bool wide) {
        const float *a = p.a + row * p.a_row, *b = p.b + column;
        float* c = p.c + row * p.c_row + column;
        size_t below = 16 * p.c_row;
        start<0>(p, c);
        if (wide) start<1>(p, c + 16);
        if (tall) start<2>(p, c + below);
        if (tall && wide) start<3>(p, c + below + 16);
        for (int step = 0; step < p.steps; step += 16, a += 16, b += 16 * p.b_row) {
            Tiles::load<4>(a, p.a_row);
            Tiles::load<6>(b, p.b_row);
            Tiles::add<0, 4, 6>();
            if (wide) Tiles::load<7>(b + 16, p.b_row), Tiles::add<1, 4, 7>();
            if (tall) Tiles::load<5>(a + 16 * p.a_row, p.a_row), Tiles::add<2, 5, 6>();
            if (tall && wide) Tiles::add<3, 5, 7>();
        }
        Tiles::store<0>(c, p.c_row);
        if (wide) Tiles::store<1>(c + 16, p.c_row);
        if (tall) Tiles::store<2>(c + below, p.c_row);
        if (tall && wide) Tiles::store<3>(c + below + 16, p.c_row);
    }
};
#endif
