// The matrix unit's eight tiles of 16 rows by 16 cells (AMX), of the thread that uses them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(BATON_TILES_IN_SOFTWARE)
#define BATON_TILES
// What the instructions do, written out as their manual has it: for CPUs without them, in tests.
struct Tiles {
    static inline thread_local float tiles[8][16][16];

    template <int T>
    static void load(const float* from, size_t row) {
        for (int r = 0; r < 16; r++) std::memcpy(tiles[T][r], from + r * row, 64);
    }
    template <int T>
    static void clear() { std::memset(tiles[T], 0, sizeof tiles[T]); }
    template <int T>
    static void store(float* to, size_t row) {
        for (int r = 0; r < 16; r++) std::memcpy(to + r * row, tiles[T][r], 64);
    }
    template <int C, int A, int B>
    static void add() {
        for (int m = 0; m < 16; m++)
            for (int n = 0; n < 16; n++) {
                float first = 0, second = 0;
                for (int k = 0; k < 16; k++) {
                    first += half(tiles[A][m][k], 16) * half(tiles[B][k][n], 16);
                    second += half(tiles[A][m][k], 0) * half(tiles[B][k][n], 0);
                }
                tiles[C][m][n] += first + second;
            }
    }
    static float half(float cell, int shift) {
        uint32_t bits;
        std::memcpy(&bits, &cell, 4);
        bits = bits << shift & 0xffff0000;
        std::memcpy(&cell, &bits, 4);
        return cell;
    }
};
#elif defined(__AMX_BF16__)
#define BATON_TILES
// GCC's own functions take no template's number for a tile.
struct Tiles {
    Tiles() {
        struct Shapes {
            uint8_t palette = 1, first = 0, none[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } all;
        asm volatile("ldtilecfg %0" ::"m"(all));
    }
    ~Tiles() { asm volatile("tilerelease" ::: "memory"); }
    Tiles(const Tiles&) = delete;

    template <int T>
    static void load(const float* from, size_t row) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row * 4), "i"(T) : "memory");
    }
    template <int T>
    static void clear() { asm volatile("tilezero %%tmm%c0" ::"i"(T)); }
    template <int T>
    static void store(float* to, size_t row) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row * 4), "i"(T) : "memory");
    }
    template <int C, int A, int B>
    static void add() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
    }
};
#endif
