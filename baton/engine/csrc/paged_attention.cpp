// Attention over the paged KV pool on a CPU: writes a step's keys and values into their blocks,
// then every row attends to its own sequence up to itself. Reached through ctypes, so the ABI is C.
//
// A row's result depends on nothing but its own sequence: contexts are cut into parts and units at
// fixed positions, whoever else is in the step and however many threads there are.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vector.h"

extern "C" {

struct Slice {  // of the flat batch
    int32_t first, count;  // rows
    int32_t start;         // position of the first row
    int32_t table, blocks; // its block table in `Step::blocks`: where it begins, how long it is
};

struct Step {
    void* pool;  // [block][layer][K|V][kv_head][block_size][head_dim]
    const int32_t* blocks;
    const Slice* slices;
    int64_t* slots;  // of each row: block * block_size + offset
    int32_t num_slices, num_rows, num_blocks, num_layers, num_heads, num_kv_heads, head_dim;
    int32_t block_size, dtype, threads;  // dtype: 0 float32, 1 bfloat16, 2 float16
};

struct Layer {
    const void *query, *key, *value;  // [rows][heads][head_dim]
    void* output;                     // as query, contiguous
    int64_t query_row, query_head, key_row, key_head, value_row, value_head;  // strides, numbers
    int32_t layer, window;   // window 0: none
    int32_t longest;         // rows; of longer slices keys and values are written, and that is all
    float scaling, softcap;  // softcap 0: none
};

}  // extern "C"

namespace {

constexpr int PAGE = 16;     // positions that never leave a block
constexpr int UNIT = 64;     // positions whose scores are held at once
constexpr int PART = 512;    // positions that one task reads
constexpr int QUERIES = 16;  // of one task: rows x heads that share a KV head
constexpr float NOTHING = -3.4e38f;  // below every score; infinities would leave NaNs behind

#if defined(__AVX512F__)
constexpr int TALL = 4, REGISTERS = 16;  // queries at a time; vectors to sum up in
#else
constexpr int TALL = 2, REGISTERS = 8;
#endif

struct Task {
    int slice, row, rows;  // rows of the batch that attend together
    int from, to;          // positions
    int partial;           // place among the partial results, or -1: this is the only part
    int num_partials;      // of the same rows, if this is the first of them
};

// scores[m][t] = q[m] . k[t] for M queries and four keys.
template <class N, int M>
inline void dot(const float* q, const typename N::T* k, int dim, float* scores) {
    vf acc[M][4] = {};
    int d = 0;
    for (; d + VL <= dim; d += VL) {
        vf keys[4];
        for (int t = 0; t < 4; t++) keys[t] = N::vec(k + t * dim + d);
        for (int m = 0; m < M; m++) {
            vf x = load(q + m * dim + d);
            for (int t = 0; t < 4; t++) acc[m][t] += x * keys[t];
        }
    }
    for (int m = 0; m < M; m++) four_sums(acc[m], scores + m * UNIT);
    for (; d < dim; d++)
        for (int m = 0; m < M; m++)
            for (int t = 0; t < 4; t++)
                scores[m * UNIT + t] += q[m * dim + d] * N::one(k[t * dim + d]);
}

// out[m] += sum over t of p[m][t] * v[t], for M queries and W vectors of the head.
template <class N, int M, int W>
inline void weigh(const float* p, const typename N::T* v, int count, int dim, float* out) {
    vf acc[M][W];
    for (int m = 0; m < M; m++)
        for (int w = 0; w < W; w++) acc[m][w] = load(out + m * dim + w * VL);
    for (int t = 0; t < count; t++) {
        vf weights[M];
        for (int m = 0; m < M; m++) weights[m] = splat(p[m * UNIT + t]);
        for (int w = 0; w < W; w++) {
            vf x = N::vec(v + t * dim + w * VL);
            for (int m = 0; m < M; m++) acc[m][w] += weights[m] * x;
        }
    }
    for (int m = 0; m < M; m++)
        for (int w = 0; w < W; w++) store(out + m * dim + w * VL, acc[m][w]);
}

template <class N, int M>
void weigh_head(const float* p, const typename N::T* v, int count, int dim, float* out) {
    constexpr int W = REGISTERS / M;
    int d = 0;
    for (; d + W * VL <= dim; d += W * VL) weigh<N, M, W>(p, v + d, count, dim, out + d);
    for (; d + 2 * VL <= dim; d += 2 * VL) weigh<N, M, 2>(p, v + d, count, dim, out + d);
    for (; d + VL <= dim; d += VL) weigh<N, M, 1>(p, v + d, count, dim, out + d);
    for (; d < dim; d++)
        for (int m = 0; m < M; m++)
            for (int t = 0; t < count; t++)
                out[m * dim + d] += p[m * UNIT + t] * N::one(v[t * dim + d]);
}

template <class N>
struct Attention {
    typedef typename N::T T;
    const Step& step;
    const Layer& layer;
    float* partials;  // per part and KV head: sums [queries][dim], largest scores, sums of weights
    const int dim = step.head_dim, group = step.num_heads / step.num_kv_heads;
    const int queries = std::max(QUERIES, group);

    size_t partial_size() const { return (size_t)queries * (dim + 2); }

    float* partial(int index, int head) const {
        return partials + ((size_t)index * step.num_kv_heads + head) * partial_size();
    }

    T* entry(int64_t slot, int kv, int head) const {
        int64_t block = slot / step.block_size, offset = slot % step.block_size;
        size_t place = ((block * step.num_layers + layer.layer) * 2 + kv) * step.num_kv_heads + head;
        return (T*)step.pool + (place * step.block_size + offset) * dim;
    }

    T* entry(const Slice& slice, int position, int kv, int head) const {
        int64_t block = step.blocks[slice.table + position / step.block_size];
        return entry(block * step.block_size + position % step.block_size, kv, head);
    }

    void write(int row) const {
        for (int head = 0; head < step.num_kv_heads; head++) {
            const T* key = (const T*)layer.key + row * layer.key_row + head * layer.key_head;
            const T* value = (const T*)layer.value + row * layer.value_row + head * layer.value_head;
            std::memcpy(entry(step.slots[row], 0, head), key, dim * sizeof(T));
            std::memcpy(entry(step.slots[row], 1, head), value, dim * sizeof(T));
        }
    }

    void prefetch(const T* row) const {
        for (size_t byte = 0; byte < dim * sizeof(T); byte += 64)
            __builtin_prefetch((const char*)row + byte);
    }

    // Calls page(first position, positions, their entries, the entries after them or null).
    template <class Page>
    void pages(const Slice& slice, int from, int to, int end, int kv, int head, Page page) const {
        for (int at = from; at < to;) {
            int count = std::min(to - at, PAGE - at % PAGE);
            const T* next = at + count < end ? entry(slice, at + count, kv, head) : nullptr;
            page(at, count, entry(slice, at, kv, head), next);
            at += count;
        }
    }

    // Scores of the unit's positions from ... to, for `count` queries, and of up to three behind
    // them in the same block, which `mask` hides.
    void score(const Slice& slice, const Task& task, int head, int from, int to, const float* q,
        int count, float* scores) const {
        pages(slice, from, to, task.to, 0, head, [&](int at, int n, const T* keys, const T* next) {
            float* out = scores + at % UNIT;
            for (int t = 0; t < n; t += 4) {
                const T* k = keys + t * dim;
                for (int i = 0; next && i < 4; i++) prefetch(next + (t + i) * dim);
                int m = 0;
                for (; m + TALL <= count; m += TALL)
                    dot<N, TALL>(q + m * dim, k, dim, out + m * UNIT + t);
                for (; m + 2 <= count; m += 2) dot<N, 2>(q + m * dim, k, dim, out + m * UNIT + t);
                for (; m < count; m++) dot<N, 1>(q + m * dim, k, dim, out + m * UNIT + t);
            }
        });
    }

    // Scales and caps what `score` found and leaves NOTHING where a row must not look.
    void mask(const Slice& slice, const Task& task, int from, int to, int count, float* scores)
        const {
        int unit = from / UNIT * UNIT;
        for (int m = 0; m < count; m++) {
            float* row = scores + m * UNIT;
            int position = slice.start + task.row + m / group - slice.first;
            int low = std::max(from, layer.window ? position + 1 - layer.window : 0);
            int high = std::min(to, position + 1);
            for (int t = 0; t < UNIT; t += VL) {
                vf s = load(row + t) * layer.scaling;
                if (layer.softcap > 0) s = tanh_of(s / layer.softcap) * layer.softcap;
                store(row + t, s);
            }
            std::fill(row, row + std::clamp(low - unit, 0, UNIT), NOTHING);
            std::fill(row + std::clamp(high - unit, 0, UNIT), row + UNIT, NOTHING);
        }
    }

    // Scores become weights relative to the largest so far; what was summed before is scaled down.
    void soften(float* scores, int count, float* out, float* largest, float* sums) const {
        for (int m = 0; m < count; m++) {
            float* row = scores + m * UNIT;
            vf top = load(row);
            for (int t = VL; t < UNIT; t += VL) {
                vf s = load(row + t);
                top = top < s ? s : top;
            }
            float before = largest[m], now = before;
            for (int i = 0; i < VL; i++) now = now < top[i] ? top[i] : now;
            vf sum = {};
            for (int t = 0; t < UNIT; t += VL) {
                vf s = load(row + t);
                vf weight = s == splat(NOTHING) ? vf{} : exp_of(s - now);
                store(row + t, weight);
                sum += weight;
            }
            if (now != before) {
                float scale = exp_of(splat(before - now))[0];
                for (int d = 0; d < dim; d++) out[m * dim + d] *= scale;
                sums[m] *= scale;
            }
            largest[m] = now;
            sums[m] += lanes_sum(sum);
        }
    }

    void add_values(const Slice& slice, const Task& task, int head, int from, int to,
        const float* weights, int count, float* out) const {
        pages(slice, from, to, task.to, 1, head, [&](int at, int n, const T* values, const T* next) {
            for (int t = 0; next && t < PAGE; t++) prefetch(next + t * dim);
            const float* p = weights + at % UNIT;
            int m = 0;
            for (; m + TALL <= count; m += TALL)
                weigh_head<N, TALL>(p + m * UNIT, values, n, dim, out + m * dim);
            for (; m + 2 <= count; m += 2)
                weigh_head<N, 2>(p + m * UNIT, values, n, dim, out + m * dim);
            for (; m < count; m++) weigh_head<N, 1>(p + m * UNIT, values, n, dim, out + m * dim);
        });
    }

    void attend(const Task& task, int head) const {
        const Slice& slice = step.slices[task.slice];
        const int count = task.rows * group;
        thread_local std::vector<float> room;
        room.resize((size_t)queries * (2 * dim + UNIT + 2));
        float *q = room.data(), *out = q + queries * dim, *scores = out + queries * dim;
        float *largest = scores + queries * UNIT, *sums = largest + queries;
        for (int m = 0; m < count; m++) {
            const T* from = (const T*)layer.query + (task.row + m / group) * layer.query_row +
                            (head * group + m % group) * layer.query_head;
            for (int d = 0; d < dim; d++) q[m * dim + d] = N::one(from[d]);
        }
        std::fill(out, out + count * dim, 0.f);
        std::fill(largest, largest + count, NOTHING);
        std::fill(sums, sums + count, 0.f);
        for (int at = task.from; at < task.to;) {
            int end = std::min(task.to, (at / UNIT + 1) * UNIT);
            score(slice, task, head, at, end, q, count, scores);
            mask(slice, task, at, end, count, scores);
            soften(scores, count, out, largest, sums);
            add_values(slice, task, head, at, end, scores, count, out);
            at = end;
        }
        if (task.partial < 0) return finish(task, head, out, sums);
        float* kept = partial(task.partial, head);
        std::copy(out, out + count * dim, kept);
        std::copy(largest, largest + count, kept + queries * dim);
        std::copy(sums, sums + count, kept + queries * (dim + 1));
    }

    void merge(const Task& task, int head) const {
        float* out = partial(task.partial, head);
        float *largest = out + queries * dim, *sums = largest + queries;
        for (int other = 1; other < task.num_partials; other++) {
            const float* more = partial(task.partial + other, head);
            const float *top = more + queries * dim, *sum = top + queries;
            for (int m = 0; m < task.rows * group; m++) {
                float now = std::max(largest[m], top[m]);
                float mine = exp_of(splat(largest[m] - now))[0];
                float theirs = exp_of(splat(top[m] - now))[0];
                for (int d = 0; d < dim; d++)
                    out[m * dim + d] = out[m * dim + d] * mine + more[m * dim + d] * theirs;
                sums[m] = sums[m] * mine + sum[m] * theirs;
                largest[m] = now;
            }
        }
        finish(task, head, out, sums);
    }

    void finish(const Task& task, int head, const float* out, const float* sums) const {
        for (int m = 0; m < task.rows * group; m++) {
            size_t row = task.row + m / group, column = head * group + m % group;
            T* to = (T*)layer.output + (row * step.num_heads + column) * dim;
            for (int d = 0; d < dim; d++) to[d] = N::back(out[m * dim + d] / sums[m]);
        }
    }
};

std::vector<Task> tasks_of(const Step& step, const Layer& layer, int& num_partials) {
    std::vector<Task> tasks;
    int group = step.num_heads / step.num_kv_heads, together = std::max(1, QUERIES / group);
    for (int i = 0; i < step.num_slices; i++) {
        const Slice& slice = step.slices[i];
        if (slice.count > layer.longest) continue;
        for (int row = 0; row < slice.count; row += together) {
            int rows = std::min(together, slice.count - row), first = slice.start + row;
            int end = first + rows;
            int low = layer.window ? std::max(0, first + 1 - layer.window) : 0;
            low -= low % 4;  // keys are read four at a time, and must not leave their block
            int parts = (end + PART - 1) / PART - low / PART;
            for (int part = 0, base = low / PART * PART; part < parts; part++, base += PART)
                tasks.push_back({i, slice.first + row, rows, std::max(low, base),
                    std::min(end, base + PART), parts > 1 ? num_partials++ : -1, part ? 0 : parts});
        }
    }
    return tasks;
}

template <class N>
void run(const Step& step, const Layer& layer) {
    int num_partials = 0;
    std::vector<Task> tasks = tasks_of(step, layer, num_partials);
    thread_local std::vector<float> partials;  // kept: fresh pages would cost more than the sums
    Attention<N> attention{step, layer, nullptr};
    size_t size = attention.partial_size() * num_partials * step.num_kv_heads;
    if (partials.size() < size) partials.resize(size);
    attention.partials = partials.data();
    const int heads = step.num_kv_heads, all = (int)tasks.size() * heads;
#pragma omp parallel num_threads(step.threads)
    {
#pragma omp for schedule(static)
        for (int row = 0; row < step.num_rows; row++) attention.write(row);
#pragma omp for schedule(dynamic)
        for (int i = 0; i < all; i++) attention.attend(tasks[i / heads], i % heads);
        if (num_partials) {
#pragma omp for schedule(dynamic)
            for (int i = 0; i < all; i++)
                if (tasks[i / heads].num_partials > 1) attention.merge(tasks[i / heads], i % heads);
        }
    }
}

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
    if (step->dtype == 0) run<Float32>(*step, *layer);
    if (step->dtype == 1) run<BFloat16>(*step, *layer);
    if (step->dtype == 2) run<Float16>(*step, *layer);
}

}  // extern "C"
