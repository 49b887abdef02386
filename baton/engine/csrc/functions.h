// Functions on vectors: powers of two, tanh, and squares of cells turned.
#pragma once

#include "vector.h"

constexpr float LOG2_E = 1.44269504088896341f;

// 2^r for r in -1/2 ... 1/2, off by 9e-8 of it; `Coarse` by 3e-6, for weights that become bfloat16.
struct Fine {
    static vf power(vf r) {
        vf p = fused(splat(1.326472731e-3f), r, splat(9.671512991e-3f));
        p = fused(p, r, splat(5.550733581e-2f));
        p = fused(p, r, splat(2.402224243e-1f));
        p = fused(p, r, splat(6.931470037e-1f));
        return fused(p, r, splat(1.f));
    }
};

struct Coarse {
    static vf power(vf r) {
        vf p = fused(splat(9.582852945e-3f), r, splat(5.590642616e-2f));
        p = fused(p, r, splat(2.402409911e-1f));
        p = fused(p, r, splat(6.931241751e-1f));
        return fused(p, r, splat(1.f));
    }
};

// 2^x for x from -3e38 to 127; of numbers that are not normal perhaps nothing is left. A NaN stays one.
template <class Precision>
inline vf exp2_of(vf x) {
#if defined(__AVX512F__)
    __m512 n = _mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return (vf)_mm512_scalef_ps((__m512)Precision::power(x - (vf)n), n);
#else
    vf low = splat(-126.f), magic = splat(12582912.f);  // 1.5 * 2^23
    vf clamped = x < low ? low : x;
    vf shifted = clamped + magic;
    vf p = Precision::power(clamped - (shifted - magic));
    p *= (vf)(((vi)shifted - (vi)magic + 127) << 23);
    return x < low ? vf{} : p;
#endif
}

inline vf tanh_of(vf x) {
    vf z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = fused(p, z, splat(2.06390887954e-2f));
    p = fused(p, z, splat(-5.37397155531e-2f));
    p = fused(p, z, splat(1.33314422036e-1f));
    p = fused(p, z, splat(-3.33332819422e-1f));
    p = fused(p * z, x, x);
    vf away = x < vf{} ? -x : x, most = splat(20.f);
    vf power = exp2_of<Fine>((away > most ? most : away) * (2 * LOG2_E));
    vf far = 1.f - 2.f / (power + 1.f);
    far = x < vf{} ? -far : far;
    return away < splat(0.625f) ? p : far;
}

// Four cells of every fourth row, one row behind the other.
inline vi four_cells(const char* from, size_t row) {
    vi x;
#if defined(__AVX512F__)
    __m512i cells = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i*)from));
    cells = _mm512_mask_broadcast_i32x4(cells, 0xf0, _mm_loadu_si128((const __m128i*)(from + 4 * row)));
    cells = _mm512_mask_broadcast_i32x4(cells, 0xf00, _mm_loadu_si128((const __m128i*)(from + 8 * row)));
    x = (vi)_mm512_mask_broadcast_i32x4(cells, 0xf000, _mm_loadu_si128((const __m128i*)(from + 12 * row)));
#else
    for (int i = 0; i < VL; i += 4) std::memcpy((char*)&x + 4 * i, from + i * row, 16);
#endif
    return x;
}

// Of every four lanes two of x and two of y, in turns: the first two or the last.
inline vi paired(vi x, vi y, bool last) {
    vi mask = {};
    for (int i = 0; i < VL; i++) mask[i] = i / 4 * 4 + last * 2 + i % 4 / 2 + i % 2 * VL;
    return __builtin_shuffle(x, y, mask);
}

// Of every four lanes two of x, then two of y: the first two or the last.
inline vi joined(vi x, vi y, bool last) {
    vi mask = {};
    for (int i = 0; i < VL; i++) mask[i] = i / 4 * 4 + last * 2 + i % 2 + i % 4 / 2 * VL;
    return __builtin_shuffle(x, y, mask);
}

// Four columns of VL rows of cells, turned: x[j] has cell j of each row. `row` is in bytes.
INLINED void turned_step(const char* from, size_t row, vi* x) {
    vi rows[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) rows[i] = four_cells(from + i * row, row);
    vi a = paired(rows[0], rows[1], false), b = paired(rows[2], rows[3], false);
    vi c = paired(rows[0], rows[1], true), d = paired(rows[2], rows[3], true);
    x[0] = joined(a, b, false);
    x[1] = joined(a, b, true);
    x[2] = joined(c, d, false);
    x[3] = joined(c, d, true);
}

// A square of VL rows by VL cells.
inline void turned(const char* from, size_t row, vi* x) {
#pragma GCC unroll 4
    for (int j = 0; j < VL; j += 4) turned_step(from + 4 * j, row, x + j);
}
