// Rows times a weight that lies packed in panels of 64 outputs:
//   16 bits and VNNI:  [panel][inputs / 2][64][2], inputs padded to a multiple of 32 (bfloat16)
//   others:            [panel][inputs][64]
// Outputs are padded to whole panels; what pads is 0. It is oneDNN's AB16b64a2b for bfloat16.
// Weights of int8 lie in the same order. A block of them is widened, then multiplied as any other, and
// the sums are scaled at the end.
//
// An output is summed up in the order of its inputs, whoever else is in the batch and however many
// threads there are: a row's bits do not depend on the others.
#pragma once

#include <type_traits>

#include "rounds.h"
#include "rows.h"

constexpr int PANEL = 64;      // outputs
constexpr int STEPS = 64;      // of a block of inputs: 16 KB of a panel, which stay in the first cache
constexpr int TILE_ROWS = 6;   // rows whose sums are held in registers
constexpr int ROWS = 96;       // whose sums are held at once: a multiple of TILE_ROWS
constexpr int FEW_ROWS = 32;   // at most, whose product takes as long as reading the matrix
#if defined(__AVX512F__)
constexpr int WIDTH = 4;       // vectors of a tile
#else
constexpr int WIDTH = 2;
#endif

struct Matrix {
    const void* weight;
    const float* bias;    // or null
    const float* scales;  // of outputs, whose weights are int8 then; or null
    int32_t inputs, outputs;
};

// Whole numbers of one byte times whole numbers of one byte, those of a weight as 128 more than they are.
// Sums are int32, whose bits lie where others have floats.
struct Bytes { typedef int8_t T; };

// How many inputs lie side by side for each output.
template <class N> constexpr int TOGETHER = 1;
template <> constexpr int TOGETHER<BFloat16> = 2;
template <> constexpr int TOGETHER<Bytes> = 4;
// Inputs of an output in memory.
template <class N> inline int padded(int inputs) { return inputs; }
template <> inline int padded<BFloat16>(int inputs) { return (inputs + 31) / 32 * 32; }
template <> inline int padded<Bytes>(int inputs) { return (inputs + 3) / 4 * 4; }

// Whole numbers of one byte as activations are stored, which is exact. `count` is a multiple of 64;
// as many bytes from `ask` on are fetched meanwhile.
template <class N>
inline void widen(const int8_t* from, typename N::T* to, int count, const int8_t* ask) {
    for (int at = 0; at < count; at += 64) {
        fetch_far(ask + at);
#pragma GCC unroll 8
        for (int i = at; i < at + 64; i += 2 * VL)
            N::put_two(to + i, floats_of(from + i), floats_of(from + i + VL));
    }
}

// One step: `TOGETHER` inputs of one row times `W` vectors of outputs.
template <class N, int W>
inline void add_step(const typename N::T* a, const vf (&weights)[W], vf (&sums)[W]) {
    vf x = splat(N::one(*a));
    for (int j = 0; j < W; j++) sums[j] += x * weights[j];
}

#if defined(__AVX512BF16__)
template <int W>
inline void add_step(const uint16_t* a, const vf (&weights)[W], vf (&sums)[W], BFloat16*) {
    int32_t pair;
    std::memcpy(&pair, a, 4);
    __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
    for (int j = 0; j < W; j++)
        sums[j] = (vf)_mm512_dpbf16_ps((__m512)sums[j], x, (__m512bh)weights[j]);
}
#else
template <int W>
inline void add_step(const uint16_t* a, const vf (&weights)[W], vf (&sums)[W], BFloat16*) {
    vf low = splat(BFloat16::one(a[0])), high = splat(BFloat16::one(a[1]));
    for (int j = 0; j < W; j++) {
        sums[j] += low * (vf)((vu)weights[j] << 16);
        sums[j] += high * (vf)((vu)weights[j] & 0xffff0000);
    }
}
#endif

template <int W>
inline void add_step(const int8_t* a, const vf (&weights)[W], vf (&sums)[W], Bytes*) {
#if defined(__AVX512VNNI__)
    int32_t four;
    std::memcpy(&four, a, 4);
    for (int j = 0; j < W; j++)
        sums[j] = (vf)_mm512_dpbusd_epi32(
            (__m512i)sums[j], (__m512i)weights[j], _mm512_set1_epi32(four));
#else
    for (int j = 0; j < W; j++)
        for (int i = 0; i < 4; i++)
            sums[j] = (vf)((vi)sums[j] + (vi)((vu)weights[j] >> 8 * i & 0xff) * a[i]);
#endif
}

template <int W, class N>
inline void add_step(const typename N::T* a, const vf (&weights)[W], vf (&sums)[W], N*) {
    add_step<N, W>(a, weights, sums);
}

// Weights of a vector of outputs for one step, as they are stored or in int8.
template <class N> inline vf weights_of(const typename N::T* w) { return N::vec(w); }
template <> inline vf weights_of<BFloat16>(const uint16_t* w) { return load((const float*)w); }
template <class N> inline vf weights_of(const uint8_t* w) { return load((const float*)w); }

template <class N>
inline vf weights_of(const int8_t* w) {
    typename N::T wide[VL * TOGETHER<N>];
    if constexpr (TOGETHER<N> == 1) return floats_of(w);
    N::put_two(wide, floats_of(w), floats_of(w + VL));
    return weights_of<N>(wide);
}

// What memory is asked for meanwhile, `LINES` in each step: for the second cache, since the first is to keep
// the block at hand.
template <int LINES>
struct Ahead {
    const char* from;

    INLINED void ask(int step) const {
#pragma GCC unroll 4
        for (int i = 0; i < LINES; i++) fetch_far(from + ((size_t)step * LINES + i) * 64);
    }
};

template <>
struct Ahead<0> {
    INLINED void ask(int) const {}
};

typedef Ahead<0> Nothing;

// sums[r][..] += rows a[r] times `W` vectors of the panel `w`, over `steps`. As a call of its own it has too
// few registers, and prompts take 4 % longer.
template <class N, int R, int W, class Weight, class Ask>
INLINED void add_tile(const typename N::T* a, size_t stride, const Weight* w, int steps,
    const Ask& ahead, float* sums) {
    vf acc[R][W];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < W; j++) acc[r][j] = load(sums + r * PANEL + j * VL);
    for (int s = 0; s < steps; s++) {
        vf weights[W];
        for (int j = 0; j < W; j++)
            weights[j] = weights_of<N>(w + (s * PANEL + j * VL) * TOGETHER<N>);
        ahead.ask(s);
        for (int r = 0; r < R; r++)
            add_step<W>(a + r * stride + s * TOGETHER<N>, weights, acc[r], (N*)nullptr);
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < W; j++) store(sums + r * PANEL + j * VL, acc[r][j]);
}

template <class N, class Weight, class Ask>
INLINED void add_columns(int rows, const typename N::T* a, size_t stride, const Weight* w,
    int steps, const Ask& ahead, float* sums) {
    switch (rows) {
        case 1: return add_tile<N, 1, WIDTH>(a, stride, w, steps, ahead, sums);
        case 2: return add_tile<N, 2, WIDTH>(a, stride, w, steps, ahead, sums);
        case 3: return add_tile<N, 3, WIDTH>(a, stride, w, steps, ahead, sums);
        case 4: return add_tile<N, 4, WIDTH>(a, stride, w, steps, ahead, sums);
        case 5: return add_tile<N, 5, WIDTH>(a, stride, w, steps, ahead, sums);
        default: return add_tile<N, 6, WIDTH>(a, stride, w, steps, ahead, sums);
    }
}

template <class N, class Weight, class Ask>
INLINED void add_tiles(int rows, const typename N::T* a, size_t stride, const Weight* w,
    int steps, const Ask& ahead, float* sums) {
    add_columns<N>(rows, a, stride, w, steps, ahead, sums);
    for (int column = WIDTH * VL; column < PANEL; column += WIDTH * VL)
        add_columns<N>(rows, a, stride, w + column * TOGETHER<N>, steps, Nothing(), sums + column);
}

template <class N>
inline size_t panel_bytes(const Matrix& matrix) {
    const size_t each = matrix.scales ? 1 : sizeof(typename N::T);
    return (size_t)PANEL * padded<N>(matrix.inputs) * each;
}

template <class N>
inline const char* panel_at(const Matrix& matrix, int panel) {
    return (const char*)matrix.weight + panel * panel_bytes<N>(matrix);
}

inline int panels_of(const Matrix& matrix) { return (matrix.outputs + PANEL - 1) / PANEL; }

// sums [rows][PANEL] of one panel; up to ROWS rows. `Weight` is how weights are stored. Behind the panel
// what begins at `then` is asked for.
template <class N, class Weight>
INLINED void multiply(const Matrix& matrix, int panel, const typename N::T* a, size_t stride, int rows,
    const char* then, float* sums) {
    typedef typename N::T T;
    constexpr bool WHOLE = std::is_same<Weight, int8_t>::value;
    const int steps = (matrix.inputs + TOGETHER<N> - 1) / TOGETHER<N>;
    const int step = PANEL * TOGETHER<N>;  // numbers
    const int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const Weight* w = (const Weight*)panel_at<N>(matrix, panel);
    alignas(64) T wide[WHOLE ? STEPS * PANEL * TOGETHER<N> : 1];
    std::fill(sums, sums + rows * PANEL, 0.f);
    for (int s = 0; s < steps; s += STEPS, w += STEPS * step) {
        const int count = std::min(STEPS, steps - s);
        const char* next_block = s + STEPS < steps ? (const char*)(w + STEPS * step) : then;
        const T* x = a + s * TOGETHER<N>;
        const bool widened = WHOLE && tiles > 1;
        if constexpr (WHOLE)
            if (widened) widen<N>(w, wide, count * step, (const int8_t*)next_block);
        for (int tile = 0; tile < tiles; tile++) {
            const int row = rows * tile / tiles, some = rows * (tile + 1) / tiles - row;
            const T* from = x + row * stride;
            float* to = sums + row * PANEL;
            if constexpr (WHOLE)
                if (widened) {
                    add_tiles<N>(some, from, stride, wide, count, Nothing(), to);
                    continue;
                }
            // Tiles read a block again and again, and the first of them ask for the next one, each for its share. One
            // tile that is as wide as the panel reads all in a row, which the CPU foresees up to the panel's end.
            constexpr int ALL = PANEL * TOGETHER<N> * sizeof(Weight) / 64;  // lines of a step
            constexpr int HALF = (ALL + 1) / 2, QUARTER = (ALL + 3) / 4;
            const int share = tiles == 1 ? ALL : tiles > 3 ? QUARTER : HALF;
            const char* ask = next_block + (size_t)tile * STEPS * share * 64;
            const bool foreseen = tiles == 1 && WIDTH * VL == PANEL && s + STEPS < steps;
            const bool asks = !foreseen && tile * share < ALL;
            if (!asks) add_tiles<N>(some, from, stride, w, count, Nothing(), to);
            else if (share == ALL) add_tiles<N>(some, from, stride, w, count, Ahead<ALL>{ask}, to);
            else if (share == HALF) add_tiles<N>(some, from, stride, w, count, Ahead<HALF>{ask}, to);
            else add_tiles<N>(some, from, stride, w, count, Ahead<QUARTER>{ask}, to);
        }
    }
}

// Rows and the product of them and a matrix.
template <class T>
struct Rows {
    const T* from;
    T* to;
    size_t stride, to_stride;
    int count;
};

// The same, finished: scaled, and with the bias.
template <class N>
void sum_panel(const Matrix& matrix, int panel, const typename N::T* a, size_t stride, int rows,
    const char* then, float* sums) {
    typedef typename N::T T;
    if (matrix.scales) multiply<N, int8_t>(matrix, panel, a, stride, rows, then, sums);
    else multiply<N, T>(matrix, panel, a, stride, rows, then, sums);
    const int first = panel * PANEL;
    for (int r = 0; r < rows && (matrix.scales || matrix.bias); r++) {
        float* sum = sums + r * PANEL;
        for (int i = 0; matrix.scales && i < PANEL; i++) sum[i] *= matrix.scales[first + i];
        for (int i = 0; matrix.bias && i < PANEL; i++) sum[i] += matrix.bias[first + i];
    }
}

// Rows whose sums are held at once are a part of a panel's job.
inline int parts_of(int rows) { return (rows + ROWS - 1) / ROWS; }

template <class N>
void write_panel(const Matrix& matrix, const Job& job, const Rows<typename N::T>& rows, const char* then) {
    alignas(64) float sums[ROWS * PANEL];
    const int panel = job.number, first = panel * PANEL, count = std::min(PANEL, matrix.outputs - first);
    for (int part = 0; part < job.parts(); part++) {
        if (!job.is_open(part)) continue;
        const int row = part * ROWS, some = std::min(ROWS, rows.count - row);
        const char* next = row + ROWS < rows.count ? panel_at<N>(matrix, panel) : then;
        sum_panel<N>(matrix, panel, rows.from + row * rows.stride, rows.stride, some, next, sums);
        job.write(part, [&] {
            for (int r = 0; r < some; r++)
                write_row<N>(sums + r * PANEL, count, rows.to + (row + r) * rows.to_stride + first);
        });
    }
}

// Panels among the threads of a parallel region, each a job of `parts` parts. `work` gets it and what to ask
// for at its end. Where reading takes the time that is the panel which the thread will have next, or the
// beginning of `then`, which is multiplied by next (null: none). Of many rows a panel takes long, and is left
// to whoever is free first.
template <class N, class Work>
void share_panels(const Matrix& matrix, int panels, int rows, int parts, const Matrix* then, Hand& hand,
    Work work) {
    hand.share(panels * parts, parts, rows <= FEW_ROWS, [&](const Job& job) {
        const char* ask = panel_at<N>(matrix, job.number);  // there already
        if (job.next < panels) ask = panel_at<N>(matrix, job.next);
        else if (then && hand.first() < panels_of(*then)) ask = panel_at<N>(*then, hand.first());
        work(job, ask);
    });
}

// to[r][..] = from[r] times the matrix.
template <class N>
void matmul(const Matrix& matrix, const Rows<typename N::T>& rows, const Matrix* then, Hand& hand) {
    share_panels<N>(matrix, panels_of(matrix), rows.count, parts_of(rows.count), then, hand,
        [&](const Job& job, const char* ask) { write_panel<N>(matrix, job, rows, ask); });
}

inline void expect_product(Rounds& rounds, const Matrix& matrix, int rows) {
    const size_t parts = parts_of(rows);
    rounds.expect(panels_of(matrix) * parts, parts);
}
