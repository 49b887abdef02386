// An output layer of which only the best logits of each row are wanted. All are bounded from weights of one
// byte, half or a quarter of what there is to read; those that may be among the best are computed by the
// very sums of the layer itself, and all others are -infinity.

#include <utility>
#include <vector>

#include "screen.h"

namespace {

// The largest of what it was told.
class Best {
public:
    explicit Best(size_t rank) : rank(rank) {}
    float least() const { return kept.size() < rank ? -INFINITY : kept.front(); }
    void add(float x) {
        if (x <= least()) return;
        kept.push_back(x);
        std::push_heap(kept.begin(), kept.end(), std::greater<float>());
        if (kept.size() <= rank) return;
        std::pop_heap(kept.begin(), kept.end(), std::greater<float>());
        kept.pop_back();
    }
    void add(const Best& more) { for (float x : more.kept) add(x); }

private:
    size_t rank;
    std::vector<float> kept;  // a heap, the least first
};

constexpr int GROUPS = PANEL / VL;  // of a panel: outputs that are computed together
constexpr int SHARE = 8;            // of all groups, beyond which the layer itself is faster

template <class N>
struct Screening {
    typedef typename N::T T;
    const Screen& screen;
    const T* from;
    T* to;
    const int rows, panels = panels_of(screen.exact);
    const size_t inputs = screen.exact.inputs, outputs = screen.exact.outputs;
    const size_t stride = padded<Bytes>(inputs);
    std::vector<State> states;
    std::vector<int8_t> halves;     // [rows][2][stride]
    std::vector<float> uppers;      // [rows][groups], of a group the largest
    std::vector<Best> best;         // [threads][rows], of the lower bounds
    std::vector<std::vector<int>> chosen;  // [rows], the groups
    std::vector<char> beyond;              // [rows], whether it asks for more than there is to know
    std::vector<std::pair<int, int>> wanted;  // (row, group) of all

    Screening(const Screen& screen, const T* from, T* to, const int32_t* ranks, int rows, int threads)
        : screen(screen), from(from), to(to), rows(rows), states(rows), halves(rows * 2 * stride),
          uppers((size_t)rows * panels * GROUPS), chosen(rows), beyond(rows) {
        for (int i = 0; i < threads * rows; i++) best.emplace_back(ranks[i % rows]);
    }

    bool read() {
        for (int r = 0; r < rows; r++) {
            int8_t* high = halves.data() + 2 * r * stride;
            if (!read_state<N>(from + r * inputs, inputs, states[r], high, high + stride)) return false;
        }
        return true;
    }

    // Three rounds, and one of what is computed.
    static constexpr int ROUNDS = 4;

    void expect(Rounds& rounds) const {
        rounds.expect((size_t)panels * rows, rows);
        rounds.expect_each(rows);
        rounds.expect_each(most());
    }

    // By each thread of a region.
    void share(Hand& hand) {
        share_panels<Bytes>(screen.rough, panels, rows, rows, nullptr, hand,
            [&](const Job& job, const char* ask) { bound_panel(job, ask, hand.first()); });
        hand.share_each(rows, [&](int row, auto write) { choose(row, hand.threads(), write); });
        hand.share_each(1, [&](int, auto write) { collect(write); });
        if (few())
            hand.share_each(wanted.size(), [&](int number, auto write) { compute(number, write); });
    }

    void bound_panel(const Job& job, const char* ask, int thread) {
        alignas(64) float sums[ROWS * PANEL];
        multiply<Bytes, uint8_t>(screen.rough, job.number, halves.data(), stride, 2 * rows, ask, sums);
        for (int row = 0; row < rows; row++)
            job.write(row, [&] { bound_row(job.number, row, sums + 2 * row * PANEL, best[thread * rows + row]); });
    }

    void bound_row(int panel, int row, const float* sums, Best& mine) {
        const size_t first = (size_t)panel * PANEL;
        const int count = std::min<size_t>(PANEL, outputs - first);
        std::fill_n(to + row * outputs + first, count, nothing());
        for (int group = 0; group < GROUPS; group++) {
            const int column = group * VL;
            vf upper, lower;
            bound(screen, states[row], sums, column, first + column, upper, lower);
            upper = between(upper, 0, count - column, -INFINITY);
            lower = between(lower, 0, count - column, -INFINITY);
            uppers[((size_t)row * panels + panel) * GROUPS + group] = lanes_max(upper);
            if (lanes_max(lower) > mine.least())
                for (int i = 0; i < VL; i++) mine.add(lower[i]);
        }
    }

    static T nothing() {
        T x[VL];
        N::put(x, splat(-INFINITY));
        return x[0];
    }

    // Rounding never turns two numbers round, but it can make them equal: bounds are rounded as well, and what
    // is so close that a division by a temperature could make it equal counts too.
    template <class Write>
    void choose(int row, int threads, Write write) {
        const int groups = panels * GROUPS;
        Best all = best[row];
        for (int t = 1; t < threads; t++) all.add(best[t * rows + row]);
        const float last = all.least();
        const float least = rounded<N>(splat(last - std::fabs(last) * 0x1p-20f))[0];
        const float* upper = uppers.data() + (size_t)row * groups;
        const float nearly = least - std::fabs(least) * 0x1p-6f - 0x1p-20f;  // asked first: it is quick
        std::vector<int> found;
        for (int group = 0; group < groups; group++)
            if (upper[group] >= nearly && rounded<N>(splat(upper[group]))[0] >= least)
                found.push_back(group);
        write([&] {
            chosen[row].swap(found);
            beyond[row] = !std::isfinite(least);  // of what the dtype can say
        });
    }

    template <class Write>
    void collect(Write write) {
        std::vector<std::pair<int, int>> all;
        for (int row = 0; row < rows; row++)
            for (int group : chosen[row]) all.emplace_back(row, group);
        write([&] { wanted.swap(all); });
    }

    size_t most() const { return (size_t)panels * GROUPS / SHARE; }
    bool few() const {
        return wanted.size() <= most() && std::count(beyond.begin(), beyond.end(), 0) == rows;
    }

    // Where the weights of a group begin; those of its next step lie a panel's width behind.
    const T* weights(int group) const {
        const T* panel = (const T*)panel_at<N>(screen.exact, group / GROUPS);
        return panel + group % GROUPS * VL * TOGETHER<N>;
    }

    // One of those that are wanted; memory is asked for the one behind it.
    template <class Write>
    void compute(size_t number, Write write) const {
        const auto [row, group] = wanted[number];
        const T* w = weights(group);
        const T* then = weights(wanted[std::min(number + 1, wanted.size() - 1)].second);
        const T* a = from + row * inputs;
        const int steps = (inputs + TOGETHER<N> - 1) / TOGETHER<N>, step = PANEL * TOGETHER<N>;
        alignas(64) float sums[PANEL] = {};
        for (int s = 0; s < steps; s += STEPS) {
            const int count = std::min(STEPS, steps - s);
            for (int i = s; i < s + count; i++) __builtin_prefetch(then + i * step);
            add_tile<N, 1, 1>(a + s * TOGETHER<N>, inputs, w + s * step, count, Nothing(), sums);
        }
        const size_t first = (size_t)group * VL;
        T* place = to + row * outputs + first;
        write([&] { write_row<N>(sums, std::min<size_t>(VL, outputs - first), place); });
    }
};

template <class N>
int run_screened(const Screen& screen, const void* from, void* to, const int32_t* ranks, int rows,
    int threads) {
    typedef typename N::T T;
    Screening<N> screening(screen, (const T*)from, (T*)to, ranks, rows, threads);
    if (!screening.read()) return -1;
    Rounds rounds(screening.ROUNDS);
    screening.expect(rounds);
#pragma omp parallel num_threads(threads)
    {
        Hand hand(rounds);
        screening.share(hand);
    }
    return screening.few() ? screening.wanted.size() : -1;
}

template <class N>
int fill_screen(const Screen& screen, int threads) {
    bool sound = true;
#pragma omp parallel for num_threads(threads) reduction(&& : sound)
    for (int panel = 0; panel < panels_of(screen.exact); panel++)
        for (int column = 0; column < PANEL; column += VL)
            sound = screen_weights<N>(screen, panel, column) && sound;
    return sound;
}

}  // namespace

extern "C" {

// Whether this CPU multiplies bytes fast enough for a screen to be worth it.
int baton_screen_pays() {
#if defined(__AVX512VNNI__)
    return 1;
#else
    return 0;
#endif
}

// Of `screen` all that its pointers point to, but for the exact weight. 0 where no bound can be had.
int baton_fill_screen(const Screen* screen, int dtype, int threads) {
    if (dtype == 0) return fill_screen<Float32>(*screen, threads);
    if (dtype == 1) return fill_screen<BFloat16>(*screen, threads);
    return fill_screen<Float16>(*screen, threads);
}

// to [rows][outputs]: of each row at least the best `ranks[row]` logits of the layer, and all that equal
// them; -infinity in place of others. How many groups of outputs were computed, or -1 where the layer
// itself has to say it. Up to ROWS / 2 rows.
int baton_screened(const Screen* screen, const void* from, void* to, const int32_t* ranks, int rows,
    int dtype, int threads) {
    if (dtype == 0) return run_screened<Float32>(*screen, from, to, ranks, rows, threads);
    if (dtype == 1) return run_screened<BFloat16>(*screen, from, to, ranks, rows, threads);
    return run_screened<Float16>(*screen, from, to, ranks, rows, threads);
}

}  // extern "C"
