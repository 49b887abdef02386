// What one task computes: some rows of a slice, and the heads that share one KV head, against the
// positions of their context. Scores are made unit by unit, softened online, and summed up in float.
#pragma once

#include "few_queries.h"
#include "panels.h"
#include "products.h"
#include "step.h"
#include "sums.h"

constexpr int PART = 512;  // positions that are summed up by themselves, then added to those before

struct Task {
    int slice, row, rows;  // rows of the batch that attend together
    int from, to;          // positions
    int partial;           // place among the partial sums; -1: the task sees all that its rows see
    int num_partials;      // of the same rows, if this is the first of them
};

// `N` is how numbers are stored, `Unit` what computes products, `Precision` that of the weights.
template <class N, class Unit, class Precision>
struct Attention {
    typedef typename N::T T;
    typedef typename Unit::Setup Setup;  // what each thread makes before it attends
    static constexpr int PACK = Unit::PACK;
    const Step& step;
    const Layer& layer;
    float* partials;  // Sums by part and KV head
    const int together;  // rows of a task, at most
    const int dim = step.head_dim, group = step.num_heads / step.num_kv_heads;
    const int queries = together * group;
    const size_t columns = rounded(dim, std::max(PACK * VL, Unit::STEPS));
    const size_t cells = rounded((dim + PACK - 1) / PACK, Unit::STEPS);
    const size_t sums_size = Sums::size(queries, columns);

    Sums partial(int index, int head) const {
        return {partials + ((size_t)index * step.num_kv_heads + head) * sums_size, queries, columns};
    }

    T* entry(int64_t slot, int kv, int head) const {
        int64_t block = slot / step.block_size, offset = slot % step.block_size;
        size_t place = ((block * step.num_layers + layer.layer) * 2 + kv) * step.num_kv_heads + head;
        return (T*)step.pool + (place * step.block_size + offset) * dim;
    }

    void write(int row) const {
        for (int head = 0; head < step.num_kv_heads; head++) {
            const T* key = (const T*)layer.key + row * layer.key_row + head * layer.key_head;
            const T* value = (const T*)layer.value + row * layer.value_row + head * layer.value_head;
            std::memcpy(entry(step.slots[row], 0, head), key, dim * sizeof(T));
            std::memcpy(entry(step.slots[row], 1, head), value, dim * sizeof(T));
        }
    }

    // What a task works on.
    struct Desk {
        const Task& task;
        const Slice& slice;
        int head, heads;  // the first KV head of the task that is left, and how many are
        int done;         // KV heads before it
        int count;        // queries of each
        float *query, *scores, *keys, *values, *scales;
        Sums sums;

        int position(int m, int group) const {
            return slice.start + task.row - slice.first + m / group;
        }
    };

    // Of the desk's KV heads how they are worked on: one by one.
    Desk one_of(const Desk& desk, int i, float* sums) const {
        const int padded = rounded(queries, Unit::ROWS);
        Desk one = desk;
        one.head += i, one.heads -= i, one.done += i;
        one.query += i * padded * cells;
        one.sums = Sums(sums + i * Sums::size(padded, columns), padded, columns);
        return one;
    }

    // The page that holds `position`; null behind the task's end.
    const T* page(const Desk& desk, int position, int kv) const {
        if (position >= desk.task.to) return nullptr;
        int64_t block = step.blocks[desk.slice.table + position / step.block_size];
        int offset = position % step.block_size / PAGE * PAGE;
        return entry(block * step.block_size + offset, kv, desk.head);
    }

    // Whether a task's queries are few, and so keys and values are not laid out.
    bool few(const Task& task) const {
        if constexpr (Unit::STEPS > 1) return false;
        else return FewQueries<N, typename Unit::Cell>::take(task.rows * group, dim);
    }

    // Of `heads` KV heads from `head` on, which go through the context side by side: in the pool what
    // they read of a block stands in a row. `write` is called with what writes the sums.
    template <class Write>
    void attend(const Task& task, int head, int heads, Write write) const {
        static thread_local Room room;
        const int padded = rounded(queries, Unit::ROWS);
        const size_t sums = Sums::size(padded, columns);
        room.reserve(heads * (padded * cells + 2 * sums) + UNIT * (Unit::TOGETHER + columns + 2) +
                     UNIT * rounded(dim, 32) + 128);
        Desk desk{task, step.slices[task.slice], head, heads, 0, task.rows * group,
            room.take(heads * padded * cells), room.take(Unit::TOGETHER * UNIT),
            room.take(rounded(dim, 32) * UNIT), room.take(UNIT * columns), room.take(UNIT),
            Sums(nullptr, padded, columns)};
        float *total = room.take(heads * sums), *part = room.take(heads * sums);
        if (Unit::STEPS > VL)  // keys are laid out in whole vectors of cells, and read in whole steps
            std::fill(desk.keys, desk.keys + rounded(dim, 32) * UNIT, 0.f);
        for (int i = 0; i < heads; i++) take_queries(one_of(desk, i, total));
        float* into = total;  // the first part's sums are the total, which others are added to
        for (int at = task.from / PART * PART; at < task.to; at += PART, into = part) {
            for (int i = 0; i < heads; i++)
                one_of(desk, i, into).sums.clear(rounded(desk.count, Unit::ROWS), columns);
            int end = std::min(at + PART, task.to);
            for (int unit = std::max(at, task.from / UNIT * UNIT); unit < end; unit += UNIT)
                for (int i = 0; i < heads; i++) add(one_of(desk, i, into), unit);
            for (int i = 0; into == part && i < heads; i++)
                one_of(desk, i, total).sums.add(one_of(desk, i, part).sums, desk.count, columns);
        }
        write([&] {
            for (int i = 0; i < heads; i++) keep(one_of(desk, i, total));
        });
    }

    void add(const Desk& desk, int unit) const {
        if (add_pages(desk, unit)) return;
        take_unit(desk, unit);
        for (int m = 0; m < desk.count; m += Unit::TOGETHER) add_unit(desk, unit, m);
    }

    // The sums of all that the task sees.
    void keep(const Desk& desk) const {
        const Sums& total = desk.sums;
        if (desk.task.partial < 0) return finish(desk.task, desk.head, total);
        Sums kept = partial(desk.task.partial, desk.head);
        std::copy(total.out, total.out + desk.count * columns, kept.out);
        std::copy(total.largest, total.largest + desk.count, kept.largest);
        std::copy(total.weights, total.weights + desk.count, kept.weights);
    }

    void take_queries(const Desk& desk) const {
        for (int m = 0; m < (int)rounded(desk.count, Unit::ROWS); m++) {
            float* to = desk.query + m * cells;
            std::fill(to, to + cells, 0.f);
            if (m >= desk.count) continue;
            const T* from = (const T*)layer.query +
                            (desk.task.row + m / group) * layer.query_row +
                            (desk.head * group + m % group) * layer.query_head;
            if constexpr (PACK * sizeof(T) == 4) {
                std::memcpy(to, from, dim * sizeof(T));
            } else {
                int d = 0;
                for (; d + VL <= dim; d += VL) store(to + d, N::vec(from + d));
                vf rest = cut_vec<N>(from + d, dim - d);
                std::memcpy(to + d, &rest, (dim - d) * 4);
            }
        }
    }

    // Reading a page fetches the one behind it: further ahead it would push out what is laid out.
    void take_unit(const Desk& desk, int unit) const {
        int from = desk.task.from, to = desk.task.to, end = std::min(unit + UNIT, to);
        for (int at = unit; at < end; at += PAGE) {
            const T* next = at + PAGE < end ? page(desk, at + PAGE, 0) : page(desk, unit, 1);
            pack_keys<N, PACK>(page(desk, at, 0), dim, next, desk.keys + at - unit);
        }
        for (int at = unit; at < unit + UNIT; at += PAGE) {
            const T* next = at + PAGE < end ? page(desk, at + PAGE, 1) : page(desk, unit + UNIT, 0);
            pack_values<N, PACK>(page(desk, at, 1), from - at, to - at, dim, next,
                desk.values + (at - unit) / PACK * columns, columns);
        }
    }

    // How far the rows m ... m + count - 1 see into the unit; 0: not at all.
    int seen(const Desk& desk, int unit, int m, int count) const {
        int first = desk.position(m, group), last = desk.position(m + count - 1, group);
        if (layer.window && first + 1 - layer.window >= unit + UNIT) return 0;
        return std::max(0, std::min({last + 1 - unit, desk.task.to - unit, UNIT}));
    }

    // Whether the queries are few, and so the unit went without being laid out.
    bool add_pages(const Desk& desk, int unit) const {
        if constexpr (Unit::STEPS == 1) {
            typedef FewQueries<N, typename Unit::Cell> Few;
            if (!few(desk.task)) return false;
            int end = seen(desk, unit, 0, desk.count), low = desk.task.from, high = desk.task.to;
            if (!end) return true;
            UnitPages<T> pages = pages_of(desk, unit, end);
            Few::score(desk.count, pages, dim, desk.query, cells, desk.scores);
            soften(desk, unit, 0, desk.count);
            Few::sum(desk.count, pages, {desk.scores, desk.scales, desk.sums.out, low - unit,
                high - unit, (end + PACK - 1) / PACK, dim, columns});
            return true;
        }
        return false;
    }

    // While one is worked on, that of `FETCHED` places further is fetched: values stand behind keys,
    // and behind those the next head's keys.
    UnitPages<T> pages_of(const Desk& desk, int unit, int end) const {
        UnitPages<T> pages;
        const int count = pages.count = (end + PAGE - 1) / PAGE;
        for (int i = 0; i < count; i++) {
            pages.keys[i] = page(desk, unit + i * PAGE, 0);
            pages.values[i] = page(desk, unit + i * PAGE, 1);
        }
        for (int i = 0; i < FETCHED; i++) {
            const T* next = keys_behind(desk, unit, i);
            pages.keys[count + i] = pages.values[std::min(i, count - 1)];
            pages.values[count + i] = next ? next : pages.values[0];
        }
        return pages;
    }

    // Page `i` of the next head's keys, or where this is the last one of the first head's keys in the
    // next unit; null behind the task's end.
    const T* keys_behind(const Desk& desk, int unit, int i) const {
        const bool last = desk.heads == 1;
        const T* keys = page(desk, (last ? unit + UNIT : unit) + i * PAGE, 0);
        return keys ? keys + (last ? -desk.done : 1) * step.block_size * dim : nullptr;
    }

    // Of the rows from m on as many as go together.
    void add_unit(const Desk& desk, int unit, int m) const {
        int count = std::min(Unit::TOGETHER, desk.count - m), end = seen(desk, unit, m, count);
        if (!end) return;
        int rows = rounded(count, Unit::ROWS);
        Product scores{desk.query + m * cells, desk.keys, desk.scores, cells, UNIT, UNIT, nullptr,
            rows, (int)rounded(end, std::max(Unit::STEPS, VL)), (int)cells};
        Unit::run(scores);
        soften(desk, unit, m, count);
        std::fill(desk.scales + count, desk.scales + rows, 1.f);
        Product values{desk.scores, desk.values, desk.sums.out + m * columns, UNIT, columns, columns,
            desk.scales, rows, (int)columns, (int)rounded((end + PACK - 1) / PACK, Unit::STEPS)};
        Unit::run(values);
    }

    // Scores become weights relative to the largest so far; `scales` is what sums so far shrink by.
    void soften(const Desk& desk, int unit, int m, int count) const {
        float fresh[Unit::TOGETHER + VL];
        int position = desk.position(m, group), head = m % group;
        for (int i = 0; i < count; i++) {
            float* row = desk.scores + i * UNIT;
            int low = desk.task.from - unit, high = desk.task.to - unit;
            if (layer.window) low = std::max(low, position + 1 - layer.window - unit);
            high = std::min(high, position + 1 - unit);
            float before = desk.sums.largest[m + i];
            vf x[UNIT / VL], best = splat(before), sum = {};
#pragma GCC unroll 16
            for (int t = 0; t < UNIT / VL; t++) {
                x[t] = scaled(load(row + t * VL));
                if (low > 0 || high < UNIT)
                    x[t] = between(x[t], low - t * VL, high - t * VL, NOTHING);
                best = larger(x[t], best);
            }
            float now = lanes_max(best);
            float base = now == NOTHING ? 0.f : now;  // nothing weighs nothing, not 2^0
#pragma GCC unroll 16
            for (int t = 0; t < UNIT / VL; t++) {
                x[t] = exp2_of<Precision>(x[t] - base);
                sum += x[t];
            }
            put_weights(row, x);
            desk.sums.largest[m + i] = now;
            desk.scales[i] = before - now;
            fresh[i] = lanes_sum(sum);
            if (++head == group) head = 0, position++;
        }
        for (int i = 0; i < count; i += VL) {
            vf scale = exp2_of<Fine>(load(desk.scales + i));
            store(desk.scales + i, scale);
            float* weights = desk.sums.weights + m + i;
            vf now = fused(load(weights), scale, load(fresh + i));
            std::memcpy(weights, &now, std::min(VL, count - i) * 4);
        }
    }

    // In powers of two.
    vf scaled(vf score) const {
        if (layer.softcap <= 0) return score * (layer.scaling * LOG2_E);
        return tanh_of(score * layer.scaling / layer.softcap) * (layer.softcap * LOG2_E);
    }

    static void put_weights(float* row, const vf* x) {
#pragma GCC unroll 16
        for (int t = 0; t < UNIT / VL; t += PACK) {
            if constexpr (PACK == 1) store(row + t * VL, x[t]);
            else BFloat16::put_two((uint16_t*)row + t * VL, x[t], x[t + 1]);
        }
    }

    // Of a task's parts the sums, which stay as they are.
    template <class Write>
    void merge(const Task& task, int head, Write write) const {
        static thread_local Room room;
        room.reserve(sums_size + 32);
        Sums total(room.take(sums_size), queries, columns);
        const float* first = partial(task.partial, head).out;
        std::copy(first, first + sums_size, total.out);
        for (int other = 1; other < task.num_partials; other++)
            total.add(partial(task.partial + other, head), task.rows * group, columns);
        write([&] { finish(task, head, total); });
    }

    void finish(const Task& task, int head, const Sums& sums) const {
        for (int m = 0; m < task.rows * group; m++) {
            size_t row = task.row + m / group, column = head * group + m % group;
            T* to = (T*)layer.output + (row * step.num_heads + column) * dim;
            const float* from = sums.out + m * columns;
            for (int d = 0; d < dim; d += PACK * VL) {
                T padded[PACK * VL], *place = dim - d < PACK * VL ? padded : to + d;
                vf x = load(from + d) / sums.weights[m];
                if constexpr (PACK == 1) N::put(place, x);
                else N::put_turns(place, x, load(from + d + VL) / sums.weights[m]);
                if (place == padded) std::memcpy(to + d, padded, (dim - d) * sizeof(T));
            }
        }
    }
};
