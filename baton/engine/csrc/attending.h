// How a step's attention is shared among threads: which task is whose, and what is put together at the end.
#pragma once

#include <list>

#include "attention.h"
#include "rounds.h"

namespace {

constexpr int MOST = 256, FEWEST = 64;  // queries of a task: rows x heads that share a KV head
constexpr int TURNS = 4;                // tasks of a thread, at least, where there can be so many
constexpr int READING = 8;              // reading a position takes as long as this many queries of it

// Rows of a slice that make one task.
int rows_together(const Step& step) {
    int group = step.num_heads / step.num_kv_heads, rows = std::max(1, MOST / group);
    for (; rows > 1 && rows * group > FEWEST; rows = (rows + 1) / 2) {
        int64_t tasks = 0;
        for (int i = 0; i < step.num_slices; i++) tasks += (step.slices[i].count + rows - 1) / rows;
        if (tasks * step.num_kv_heads >= (int64_t)step.threads * TURNS) break;
    }
    return rows;
}

int64_t cost(const Task& task, int group) {
    return (int64_t)(task.to - task.from) * (task.rows * group + READING);
}

std::vector<Task> whole_tasks(const Step& step, const Layer& layer, int together) {
    std::vector<Task> tasks;
    for (int i = 0; i < step.num_slices; i++) {
        const Slice& slice = step.slices[i];
        for (int row = 0; row < slice.count; row += together) {
            int rows = std::min(together, slice.count - row), first = slice.start + row;
            int low = layer.window ? std::max(0, first + 1 - layer.window) : 0;
            tasks.push_back({i, slice.first + row, rows, low, first + rows, -1, 0});
        }
    }
    return tasks;
}

// Longest first; those that one thread would still work on when the others are through, by parts.
std::vector<Task> tasks_of(const Step& step, const Layer& layer, int together, int& num_partials) {
    std::vector<Task> tasks, whole = whole_tasks(step, layer, together);
    int group = step.num_heads / step.num_kv_heads;
    int64_t all = 0;
    for (const Task& task : whole) all += cost(task, group) * step.num_kv_heads;
    for (const Task& task : whole) {
        int parts = (task.to + PART - 1) / PART - task.from / PART;
        bool cut = step.threads > 1 && parts > 1 && cost(task, group) * step.threads * TURNS > all;
        if (!cut) tasks.push_back(task);
        for (int part = 0, base = task.from / PART * PART; cut && part < parts; part++, base += PART)
            tasks.push_back({task.slice, task.row, task.rows, std::max(task.from, base),
                std::min(task.to, base + PART), num_partials++, part ? 0 : parts});
    }
    std::stable_sort(tasks.begin(), tasks.end(),
        [&](const Task& a, const Task& b) { return cost(a, group) > cost(b, group); });
    return tasks;
}

struct Piece {
    int task, head, heads;
};

// What the threads share: tasks of few queries with as many KV heads together as leaves enough pieces.
template <class Attention>
std::vector<Piece> pieces_of(const Step& step, const Attention& attention, const std::vector<Task>& tasks) {
    std::vector<Piece> pieces;
    const int64_t all = (int64_t)tasks.size() * step.num_kv_heads;
    const int most = std::max<int64_t>(1, all / (step.threads * TURNS));
    for (size_t i = 0; i < tasks.size(); i++) {
        const int together = attention.few(tasks[i]) ? std::min(most, step.num_kv_heads) : 1;
        for (int head = 0; head < step.num_kv_heads; head += together)
            pieces.push_back({(int)i, head, std::min(together, step.num_kv_heads - head)});
    }
    return pieces;
}

// Who does what where layers have that window: the same in all of them.
template <class Work>
struct Shares {
    const int window, together;
    int num_partials = 0;
    const std::vector<Task> tasks;
    const std::vector<Piece> pieces;

    Shares(const Step& step, const Layer& layer)
        : window(layer.window), together(rows_together(step)),
          tasks(tasks_of(step, layer, together, num_partials)),
          pieces(pieces_of(step, Work{step, layer, nullptr, together}, tasks)) {}
};

// Attention of one layer, which the threads of a parallel region share.
template <class Work>
class Attending {
public:
    Attending(const Step& step, const Layer& layer, const Shares<Work>& shares, float* partials)
        : shares(shares), attention{step, layer, partials, shares.together} {}

    static constexpr int ROUNDS = 3;  // at most, that of `write` as well

    void expect(Rounds& rounds) const {
        rounds.expect_each(attention.step.num_rows);
        rounds.expect(shares.pieces.size(), 1);
        if (shares.num_partials) rounds.expect(merges(), 1);
    }

    // By each thread of a region. Keys and values are in the pool.
    void share(Hand& hand) const {
        [[maybe_unused]] typename Work::Setup setup;
        hand.share(shares.pieces.size(), 1, false, [&](const Job& job) {
            const Piece& piece = shares.pieces[job.number];
            attention.attend(shares.tasks[piece.task], piece.head, piece.heads,
                [&](auto write) { job.write(0, write); });
        });
        if (shares.num_partials) merge(hand);
    }

    // Keys and values into the pool, unless they are there.
    void write(Hand& hand) const {
        if (attention.step.slots)
            hand.share_each(attention.step.num_rows,
                [&](int row, auto write) { write([&] { attention.write(row); }); });
    }
    void write_row(int row) const {
        if (attention.step.slots) attention.write(row);
    }

private:
    int merges() const { return (int)shares.tasks.size() * attention.step.num_kv_heads; }

    void merge(Hand& hand) const {
        const int heads = attention.step.num_kv_heads;
        hand.share(merges(), 1, false, [&](const Job& job) {
            const Task& task = shares.tasks[job.number / heads];
            const auto write = [&](auto what) { job.write(0, what); };
            if (task.num_partials > 1) attention.merge(task, job.number % heads, write);
            else write([] {});
        });
    }

    const Shares<Work>& shares;
    const Work attention;
};

// Memory of a thread for partial sums, kept: fresh pages would cost more. `which`: of two that are in use at once.
std::vector<float>& kept_partials(int which) {
    static thread_local std::vector<float> partials[2];
    return partials[which];
}

// Attention of a step's layers, one after the other. Made by one thread.
template <class Does>
class AttendingLayers {
public:
    typedef Does Work;

    AttendingLayers(
        const Step& step, const Layer* layers, int count, std::vector<float>& partials = kept_partials(0)) {
        for (int i = 0; i < count; i++) shares_of(step, layers[i]);
        size_t most = 0;
        if (!count) return;
        for (const Shares<Work>& one : shares) most = std::max(most, (size_t)one.num_partials);
        const Work first{step, layers[0], nullptr, shares.front().together};
        const size_t size = first.sums_size * most * step.num_kv_heads;
        if (partials.size() < size) partials.resize(size);
        each.reserve(count);
        for (int i = 0; i < count; i++)
            each.emplace_back(step, layers[i], shares_of(step, layers[i]), partials.data());
    }

    static constexpr int ROUNDS = Attending<Work>::ROUNDS;  // of a layer, at most

    const Attending<Work>& operator[](int i) const { return each[i]; }
    // Of all layers.
    void expect(Rounds& rounds) const {
        for (const Attending<Work>& one : each) one.expect(rounds);
    }

private:
    const Shares<Work>& shares_of(const Step& step, const Layer& layer) {
        for (const Shares<Work>& one : shares)
            if (one.window == layer.window) return one;
        return shares.emplace_back(step, layer);
    }

    std::list<Shares<Work>> shares;
    std::vector<Attending<Work>> each;
};

#if defined(BATON_TILES)
typedef Tiled Halves;
#elif defined(__AVX512BF16__)
typedef Vectors<Pairs> Halves;
#endif

// What attends to keys and values of each kind.
template <class N> struct AttendingTo { typedef AttendingLayers<Attention<N, Vectors<Floats>, Fine>> Kind; };
#if defined(BATON_TILES) || defined(__AVX512BF16__)
template <> struct AttendingTo<BFloat16> { typedef AttendingLayers<Attention<BFloat16, Halves, Coarse>> Kind; };
#endif

}  // namespace
