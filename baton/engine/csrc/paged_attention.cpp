// Attention over the paged KV pool on a CPU: writes a step's keys and values into their blocks,
// then every row attends to its own sequence up to itself. Reached through ctypes, so the ABI is C.
//
// A row's bits depend on nothing but its own query, position, keys and values: contexts are cut into
// parts and units at fixed positions, and each number is summed up in one order, whoever else is in
// the step, wherever the slices were cut and however many threads there are.

#include "attention.h"

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

template <class N, class Unit, class Precision>
void run(const Step& step, const Layer& layer) {
    static thread_local std::vector<float> partials;  // kept: fresh pages would cost more
    int num_partials = 0, together = rows_together(step);
    std::vector<Task> tasks = tasks_of(step, layer, together, num_partials);
    Attention<N, Unit, Precision> attention{step, layer, nullptr, together};
    size_t size = attention.sums_size * num_partials * step.num_kv_heads;
    if (partials.size() < size) partials.resize(size);
    attention.partials = partials.data();
    const int heads = step.num_kv_heads, all = (int)tasks.size() * heads;
    const std::vector<Piece> pieces = pieces_of(step, attention, tasks);
#pragma omp parallel num_threads(step.threads)
    {
#pragma omp for schedule(static)
        for (int row = 0; row < step.num_rows; row++) attention.write(row);
        [[maybe_unused]] typename Unit::Setup setup;
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < pieces.size(); i++)
            attention.attend(tasks[pieces[i].task], pieces[i].head, pieces[i].heads);
        if (num_partials) {
#pragma omp for schedule(dynamic)
            for (int i = 0; i < all; i++)
                if (tasks[i / heads].num_partials > 1) attention.merge(tasks[i / heads], i % heads);
        }
    }
}

#if defined(BATON_TILES)
typedef Tiled Halves;
#elif defined(__AVX512BF16__)
typedef Vectors<Pairs> Halves;
#endif

}  // namespace

extern "C" {

// Fills `slots`. Returns 0, or the number (from 1) of a slice whose table is too short or names a
// block that does not exist.
int baton_prepare(const Step* step) {
    for (int i = 0; i < step->num_slices; i++) {
        const Slice& slice = step->slices[i];
        const int32_t* table = step->blocks + slice.table;
        if ((int64_t)slice.blocks * step->block_size < (int64_t)slice.start + slice.count)
            return i + 1;
        for (int b = 0; b < slice.blocks; b++)
            if (table[b] < 0 || table[b] >= step->num_blocks) return i + 1;
        for (int row = 0; row < slice.count; row++) {
            int position = slice.start + row;
            step->slots[slice.first + row] =
                (int64_t)table[position / step->block_size] * step->block_size +
                position % step->block_size;
        }
    }
    return 0;
}

void baton_attend(const Step* step, const Layer* layer) {
    if (step->dtype == 0) run<Float32, Vectors<Floats>, Fine>(*step, *layer);
#if defined(BATON_TILES) || defined(__AVX512BF16__)
    if (step->dtype == 1) run<BFloat16, Halves, Coarse>(*step, *layer);
#else
    if (step->dtype == 1) run<BFloat16, Vectors<Floats>, Fine>(*step, *layer);
#endif
    if (step->dtype == 2) run<Float16, Vectors<Floats>, Fine>(*step, *layer);
}

}  // extern "C"
