// What is known of an output layer's logits from weights of one byte: roughly how large each is, and how far
// from that it may be at most.
//
// A row w of the vocabulary is said by whole numbers q of one byte and a scale s, a state h of the model by
// whole numbers of two bytes and a unit. What the exact kernel says of them is off by at most
//   |w h - s q h| <= ||w - s q|| ||h||   (Cauchy and Schwarz), what q leaves out
//   |s q h - s q g| <= ||s q|| ||h - g||,   what the state's numbers g leave out
// and by rounding: a sum of n products in float, in whatever order, by (2 n + few) / 2^24 of ||w|| ||h||.
// All of it is counted, and rounded up with room to spare, so no logit lies outside.
#pragma once

#include "matmul.h"

extern "C" {

struct Screen {
    Matrix exact;  // the layer, with neither bias nor scales
    Matrix rough;  // [panel][inputs / 4][64][4]
    // Of outputs, in whole panels: what one of the whole numbers counts, the norm of what they say, and how
    // far a logit may be off for a state of norm 1 that is said in full.
    float *scales, *norms, *slopes;
};

}  // extern "C"

constexpr int LARGEST_WEIGHT = 127;   // of whole numbers
constexpr int LARGEST_STATE = 127 * 256;
constexpr double SPARE = 1 + 1e-3;  // for the rounding of bounds themselves
// Beyond these floats might run over, or lose digits that are counted on.
constexpr double LEAST = 0x1p-40, LARGEST = 0x1p60;

// A state as whole numbers: 256 * high + low, of which each counts `unit`.
struct State {
    float unit, norm, lost;  // its norm, and that of what the numbers leave out
    int32_t high, low;       // 128 times the sums of either half, which stand in the products too much
};

// False where it is not to be said safely, as where it holds what is no number.
template <class N>
bool read_state(const typename N::T* from, int inputs, State& state, int8_t* high, int8_t* low) {
    thread_local std::vector<float> x;
    x.resize(whole(inputs));
    read_row<N>(from, inputs, x.data());
    double square = 0, lost = 0;
    float largest = 0;
    for (int i = 0; i < inputs; i++) {
        square += (double)x[i] * x[i];
        largest = std::max(largest, std::fabs(x[i]));
    }
    if (!(largest >= LEAST && square <= LARGEST)) return false;  // a NaN is in `square`
    state = {largest / LARGEST_STATE};
    for (int i = 0; i < inputs; i++) {
        int q = (int)std::nearbyint(x[i] / state.unit);
        low[i] = (int8_t)q;
        high[i] = (q - low[i]) / 256;
        state.high += 128 * high[i];
        state.low += 128 * low[i];
        double left = x[i] - (double)state.unit * q;
        lost += left * left;
    }
    state.norm = std::sqrt(square) * SPARE;
    state.lost = std::sqrt(lost) * SPARE;
    return true;
}

// VL outputs of a panel as floats, of one input.
template <class N>
inline vf weights_at(const typename N::T* panel, int input, int output) {
    return N::vec(panel + (size_t)input * PANEL + output);
}

template <>
inline vf weights_at<BFloat16>(const uint16_t* panel, int input, int output) {
    vi cells;
    std::memcpy(&cells, panel + (size_t)(input / 2 * PANEL + output) * 2, sizeof cells);
    return input % 2 ? BFloat16::high(cells) : BFloat16::low(cells);
}

// Of VL outputs of a panel, from `column` on, what the screen is to know. False where a weight is too large, or no
// number.
template <class N>
bool screen_weights(const Screen& screen, int panel, int column) {
    const int inputs = screen.exact.inputs, at = panel * PANEL + column;
    const auto* from = (const typename N::T*)panel_at<N>(screen.exact, panel);
    auto* to = (uint8_t*)panel_at<Bytes>(screen.rough, panel) + 4 * column;
    vf largest = {}, square = {}, said = {}, lost = {};
    for (int i = 0; i < inputs; i++) {
        vf w = weights_at<N>(from, i, column);
        largest = larger(w < vf{} ? -w : w, largest);
        square += w * w;
    }
    for (int o = 0; o < VL; o++)
        if (!(square[o] <= LARGEST)) return false;
    // Where the quotient could run over, all numbers are 0.
    const vf scale = largest < splat(0x1p-100f) ? splat(1.f) : largest / LARGEST_WEIGHT;
    const vf magic = splat(12582912.f);  // 1.5 * 2^23: what is added to it is rounded to whole numbers
    for (int i = 0; i < inputs; i += 4, to += 4 * PANEL) {
        vi cells = {};
        for (int k = 0; k < std::min(4, inputs - i); k++) {
            vf w = weights_at<N>(from, i + k, column), shifted = w / scale + magic;
            vf says = scale * (shifted - magic), left = w - says;
            said += says * says;
            lost += left * left;
            cells |= ((vi)shifted - (vi)magic + 128) << 8 * k;
        }
        std::memcpy(to, &cells, sizeof cells);
    }
    const double rounding = (2. * inputs + 64) * 0x1p-24, spare = SPARE + rounding;
    for (int o = 0; o < VL; o++) {
        const double norm = std::sqrt(std::max(square[o], said[o]));
        screen.scales[at + o] = scale[o];
        screen.norms[at + o] = std::sqrt(said[o]) * spare + 0x1p-60;
        screen.slopes[at + o] = (std::sqrt(lost[o]) + rounding * norm) * spare + 0x1p-60;
    }
    return true;
}

// From the two halves' sums of a panel, of VL outputs from `at` on: how large the logits may be, and at
// least are.
inline void bound(const Screen& screen, const State& state, const float* sums, int column, int at,
    vf& upper, vf& lower) {
    vf high = __builtin_convertvector((vi)load(sums + column) - state.high, vf);
    vf low = __builtin_convertvector((vi)load(sums + PANEL + column) - state.low, vf);
    vf rough = (high * 256.f + low) * state.unit * load(screen.scales + at);
    vf off = load(screen.slopes + at) * state.norm + load(screen.norms + at) * state.lost;
    upper = rough + off;
    lower = rough - off;
}
