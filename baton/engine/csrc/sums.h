// What a task adds up, and the memory it works in.
#pragma once

#include <vector>

#include "functions.h"

constexpr float NOTHING = -1e38f;  // below every score; infinities would leave NaNs behind

// Sums over positions, of each query: relative to its largest score.
struct Sums {
    float *out, *largest, *weights;  // [queries][columns], [queries], [queries]

    Sums(float* room, int queries, size_t columns)
        : out(room), largest(room + queries * columns), weights(largest + queries) {}

    static size_t size(int queries, size_t columns) { return queries * (columns + 2); }

    void clear(int queries, size_t columns) {
        std::fill(out, out + queries * columns, 0.f);
        std::fill(largest, largest + queries, NOTHING);
        std::fill(weights, weights + queries, 0.f);
    }

    // A part without anything that a query sees changes none of its bits.
    void add(const Sums& more, int queries, size_t columns) {
        for (int m = 0; m < queries; m++) {
            float now = std::max(largest[m], more.largest[m]);
            vf mine = exp2_of<Fine>(splat(largest[m] - now));
            vf theirs = exp2_of<Fine>(splat(more.largest[m] - now));
            float *to = out + m * columns, *from = more.out + m * columns;
            for (size_t d = 0; d < columns; d += VL)
                store(to + d, fused(load(to + d), mine, load(from + d) * theirs));
            weights[m] = fused(splat(weights[m]), mine, more.weights[m] * theirs)[0];
            largest[m] = now;
        }
    }
};

inline size_t rounded(size_t count, size_t to) { return (count + to - 1) / to * to; }

// Memory of a thread, kept: fresh pages would cost more than the sums.
class Room {
    std::vector<float> memory;
    float* next = nullptr;

public:
    void reserve(size_t count) {
        if (memory.size() < count + 16) memory.resize(count + 16);
        next = (float*)rounded((size_t)memory.data(), 64);
    }
    float* take(size_t count) {
        float* taken = next;
        next += rounded(count, 16);
        return taken;
    }
};
