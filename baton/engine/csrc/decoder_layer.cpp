// A decoder layer on a CPU around its attention: norms, projections, rotary positions, the gated MLP
// and the residuals. Reached through ctypes, so the ABI is C.
//
// All sums are in float. Between two parts numbers are rounded where the model's own modules round
// them, so that a layer comes out as it did in torch but for the order of summation.

#include <vector>

#include "attending.h"
#include "functions.h"
#include "matmul.h"

extern "C" {

struct Norm {
    const float* weight;  // padded to whole vectors; null: there is no such norm
    float epsilon;
    int32_t size;
    int32_t rounds;  // 1: the quotient is rounded before it is weighed
};

struct DecoderLayer {
    Matrix qkv, out, gate_up, down;
    // before the attention, of each query, of each key, of what attention adds, before the MLP, of
    // what the MLP adds
    Norm input, query, key, attended, mlp, added;
    int32_t heads, kv_heads, head_dim, rotary;  // rotary: numbers of a head that turn
    int32_t hidden, inner;                      // numbers of a row; of the MLP within
    int32_t activation, dtype;                  // 0 silu, 1 gelu (tanh); as Step has it
    float residual;                             // what is added is multiplied by it
};

struct DecoderBatch {
    const void* states;  // [rows][hidden]
    const void *cos, *sin;  // [rows][rotary]
    void* normed;        // [rows][hidden]
    void* qkv;           // [rows][heads + 2 kv_heads][head_dim]
    void* attended;      // [rows][heads][head_dim]
    void* projected;     // [rows][hidden]
    void* gate_up;       // [rows][2 inner]
    void* gated;         // [rows][inner]
    void* output;        // [rows][hidden], not `states`
    int32_t rows, threads;
};

// What comes behind some layers, of those rows alone that are read.
struct Ending {
    // A layer more in two parts, the first of which makes keys and values of all rows and the other the rest of
    // those that are read, in `batch`, whose states and rotary positions are taken from where they stand. Null:
    // there is no such layer.
    const DecoderLayer *keys, *rest;
    const Layer *written, *attention;  // of the two
    const Step* step;                  // of the rows that are read
    const DecoderBatch* batch;         // [count], all of it
    const int64_t* rows;               // [count], which are read
    int32_t count;
    const Norm* norm;     // null: the ending is over
    const Matrix* head;   // null: it is over behind the norm
    void *normed, *logits;  // [count][hidden], [count][outputs]
};

}  // extern "C"

namespace {

enum Part { NORM, QKV, ROTARY, OUT, ADD_AND_NORM, GATE_UP, GATE, DOWN, ADD, END };

constexpr int COLUMNS = 512;  // of a row that are gated together: a multiple of VL

int columns_of(int inner) { return (inner + COLUMNS - 1) / COLUMNS; }

template <class N>
void normalise(const Norm& norm, float* x) {
    float scale = 1.f / std::sqrt(mean_square(x, norm.size) + norm.epsilon);
    for (int i = 0; i < norm.size; i += VL) {
        vf v = load(x + i) * scale;
        if (norm.rounds) v = rounded<N>(v);
        store(x + i, rounded<N>(v * load(norm.weight + i)));
    }
}

// `from` says where a row stands.
template <class N, class From>
void norm_rows(const Norm& norm, From from, typename N::T* to, int rows, Hand& hand) {
    hand.share_each(rows, [&](int row, auto write) {
        thread_local std::vector<float> x;
        x.resize(whole(norm.size));
        read_row<N>(from(row), norm.size, x.data());
        normalise<N>(norm, x.data());
        write([&] { write_row<N>(x.data(), norm.size, to + (size_t)row * norm.size); });
    });
}

inline vf activated(int kind, vf x) {
    if (kind == 0) {
        vf power = x * -LOG2_E, most = splat(127.f);  // beyond it the quotient is nothing anyway
        return x / (1.f + exp2_of<Fine>(power > most ? most : power));
    }
    return .5f * x * (1.f + tanh_of(.7978845608028654f * (x + .044715f * x * x * x)));
}

template <class N>
struct Decoder {
    typedef typename N::T T;
    const DecoderLayer& layer;
    const DecoderBatch& batch;
    Hand& hand;
    const bool gates;    // GATE_UP gates as well, and GATE is left out
    const Norm* behind;  // stands before what comes after this layer in the same go; null: none does
    const Matrix* then;  // which is multiplied by after this layer; null: nobody knows
    const int dim = layer.head_dim;
    const size_t hidden = layer.hidden, inner = layer.inner;
    const size_t wide = (size_t)layer.heads * dim;                       // numbers of a row's queries
    const size_t qkv_row = wide + (size_t)2 * layer.kv_heads * dim;

    void run(int part) const {
        switch (part) {
            case NORM: if (layer.input.weight) before(); break;
            case QKV: return product(QKV, layer.qkv, normed(), hidden, batch.qkv, qkv_row);
            case ROTARY: return turn([](int) {});
            case OUT:
                return product(OUT, layer.out, (const T*)batch.attended, wide, batch.projected, hidden);
            case ADD_AND_NORM: return add((const T*)batch.states, layer.attended, &layer.mlp);
            case GATE_UP:
                if (gates) return gated_product();
                return product(GATE_UP, layer.gate_up, mlp_reads(), hidden, batch.gate_up, 2 * inner);
            case GATE: if (!gates) gate(); break;
            case DOWN:
                return product(DOWN, layer.down, (const T*)batch.gated, inner, batch.projected, hidden);
            case ADD: return add((const T*)batch.output, layer.added, behind);
        }
    }

    const T* normed() const { return (const T*)(layer.input.weight ? batch.normed : batch.states); }
    const T* mlp_reads() const { return (const T*)(layer.mlp.weight ? batch.normed : batch.output); }

    void before() const {
        const auto from = [&](int row) { return (const T*)batch.states + row * hidden; };
        norm_rows<N>(layer.input, from, (T*)batch.normed, batch.rows, hand);
    }

    void product(int part, const Matrix& matrix, const T* from, size_t stride, void* to,
        size_t to_stride) const {
        matmul<N>(matrix, {from, (T*)to, stride, to_stride, batch.rows}, after(part), hand);
    }

    // What is multiplied by after that part.
    const Matrix* after(int part) const {
        switch (part) {
            case QKV: return &layer.out;
            case OUT: return &layer.gate_up;
            case GATE_UP: return &layer.down;
            case DOWN: return then;
        }
        return nullptr;
    }

    // Queries and keys in place: normed by the head or as a whole, then turned by their position. `then` is
    // called with each row that has been written, once.
    template <class Then>
    void turn(Then then) const {
        const int rotary = layer.rotary;
        const size_t keys = (size_t)layer.kv_heads * dim;
        hand.share_each(batch.rows, [&](int row, auto write) {
            thread_local std::vector<float> room;
            thread_local std::vector<T> turned;
            room.resize(whole(std::max(wide, keys)) + 2 * whole(rotary));
            turned.resize(wide + keys);
            float *cos = room.data(), *sin = cos + whole(rotary), *x = sin + whole(rotary);
            read_row<N>((const T*)batch.cos + (size_t)row * rotary, rotary, cos);
            read_row<N>((const T*)batch.sin + (size_t)row * rotary, rotary, sin);
            T* states = (T*)batch.qkv + row * qkv_row;
            std::copy(states, states + turned.size(), turned.data());
            turn_heads(layer.query, turned.data(), layer.heads, cos, sin, x);
            turn_heads(layer.key, turned.data() + wide, layer.kv_heads, cos, sin, x);
            write([&] {
                std::copy(turned.begin(), turned.end(), states);
                then(row);
            });
        });
    }

    void turn_heads(const Norm& norm, T* states, int heads, const float* cos, const float* sin,
        float* x) const {
        if (norm.weight && norm.size != dim) {
            read_row<N>(states, norm.size, x);
            normalise<N>(norm, x);
            write_row<N>(x, norm.size, states);
        }
        for (int head = 0; head < heads; head++, states += dim) {
            read_row<N>(states, dim, x);
            if (norm.weight && norm.size == dim) normalise<N>(norm, x);
            const int half = layer.rotary / 2;
            for (int i = 0; i < half; i++) {
                float a = x[i], b = x[i + half];
                x[i] = a * cos[i] - b * sin[i];
                x[i + half] = b * cos[i + half] + a * sin[i + half];
            }
            write_row<N>(x, dim, states);
        }
    }

    void gate() const {
        const int parts = columns_of(inner);
        hand.share_each(batch.rows * parts, [&](int part, auto write) {
            size_t row = part / parts, from = part % parts * COLUMNS;
            int count = std::min((size_t)COLUMNS, inner - from);
            const T* gates = (const T*)batch.gate_up + row * 2 * inner + from;
            float x[COLUMNS], up[COLUMNS];
            read_row<N>(gates, count, x);
            read_row<N>(gates + inner, count, up);
            for (int i = 0; i < count; i += VL) store(x + i, gated(load(x + i), load(up + i)));
            write([&] { write_row<N>(x, count, (T*)batch.gated + row * inner + from); });
        });
    }

    // A panel of gates and the one of what they let through, one after the other: neither is written.
    void gated_product() const {
        const Matrix& matrix = layer.gate_up;
        const int panels = panels_of(matrix) / 2;
        share_panels<N>(matrix, panels, batch.rows, parts_of(batch.rows), &layer.down, hand,
            [&](const Job& job, const char* ask) {
                for (int part = 0; part < job.parts(); part++)
                    if (job.is_open(part)) gate_part(job, panels, part, ask);
            });
    }

    void gate_part(const Job& job, int panels, int part, const char* ask) const {
        alignas(64) float gate[ROWS * PANEL], up[ROWS * PANEL];
        const Matrix& matrix = layer.gate_up;
        const int panel = job.number, row = part * ROWS, some = std::min(ROWS, batch.rows - row);
        const T* from = mlp_reads() + row * hidden;
        const char* next = row + ROWS < batch.rows ? panel_at<N>(matrix, panel) : ask;
        sum_panel<N>(matrix, panel, from, hidden, some, panel_at<N>(matrix, panel + panels), gate);
        sum_panel<N>(matrix, panel + panels, from, hidden, some, next, up);
        for (int i = 0; i < some * PANEL; i += VL) store(gate + i, gated(load(gate + i), load(up + i)));
        job.write(part, [&] {
            T* to = (T*)batch.gated + row * inner + panel * PANEL;
            for (int r = 0; r < some; r++, to += inner)
                for (int i = 0; i < PANEL; i += VL) N::put(to + i, load(gate + r * PANEL + i));
        });
    }

    vf gated(vf gate, vf up) const {
        return rounded<N>(activated(layer.activation, rounded<N>(gate))) * rounded<N>(up);
    }

    // output = states + what was projected; then what is read next, if a norm stands before it.
    void add(const T* states, const Norm& norm, const Norm* next) const {
        const bool norms = next && next->weight;
        hand.share_each(batch.rows, [&](int row, auto write) {
            thread_local std::vector<float> room;
            room.resize(2 * whole(hidden));
            float *x = room.data(), *more = x + whole(hidden);
            read_row<N>(states + row * hidden, hidden, x);
            read_row<N>((const T*)batch.projected + row * hidden, hidden, more);
            if (norm.weight) normalise<N>(norm, more);
            for (size_t i = 0; i < hidden; i += VL) {
                vf added = load(more + i);
                if (layer.residual != 1.f) added = rounded<N>(added * layer.residual);
                store(x + i, rounded<N>(load(x + i) + added));
                if (norms) store(more + i, load(x + i));
            }
            if (norms) normalise<N>(*next, more);
            write([&] {
                write_row<N>(x, hidden, (T*)batch.output + row * hidden);
                if (norms) write_row<N>(more, hidden, (T*)batch.normed + row * hidden);
            });
        });
    }
};

void expect_rounds(Rounds& rounds, const DecoderLayer& layer, int rows) {
    for (const Matrix* matrix : {&layer.qkv, &layer.out, &layer.gate_up, &layer.down})
        expect_product(rounds, *matrix, rows);
    rounds.expect_each((size_t)rows * columns_of(layer.inner));
}

template <class N>
void run_parts(const DecoderLayer& layer, const DecoderBatch& batch, int from, int to) {
    const bool gates = from <= GATE_UP && to > GATE && layer.inner % PANEL == 0;
    Rounds rounds(END);
    expect_rounds(rounds, layer, batch.rows);
#pragma omp parallel num_threads(batch.threads)
    {
        Hand hand(rounds);
        Decoder<N> decoder{layer, batch, hand, gates, nullptr, nullptr};
        for (int part = from; part < to; part++) decoder.run(part);
    }
}

// Whole layers, attention as well, one after the other in one go: what one writes the next one reads.
template <class N>
struct Layers {
    typedef typename N::T T;
    typedef typename AttendingTo<N>::Kind Kind;
    const DecoderLayer* const* layers;
    const int count;
    const Ending& ending;
    const DecoderBatch turns[2];  // of every other layer
    const Step& step;
    const Kind attending, ending_attending;

    Layers(const DecoderLayer* const* layers, const Layer* attentions, int count, const DecoderBatch& batch,
        const Step& step, const Ending& ending)
        : layers(layers), count(count), ending(ending), turns{batch, turned(batch)},
          step(step), attending(step, attentions, count),
          ending_attending(*ending.step, ending.attention, ending.keys ? 1 : 0, kept_partials(1)) {}

    static DecoderBatch turned(DecoderBatch batch) {
        const void* states = batch.states;
        batch.states = batch.output, batch.output = const_cast<void*>(states);
        return batch;
    }

    const DecoderBatch& last() const { return turns[count % 2]; }  // whose states come out of the layers

    int rounds() const { return (count + 3) * (END + Kind::ROUNDS); }

    void expect(Rounds& rounds) const {
        attending.expect(rounds);
        ending_attending.expect(rounds);
        for (int i = 0; i < count; i++) expect_rounds(rounds, *layers[i], last().rows);
        if (ending.keys) {
            expect_rounds(rounds, *ending.keys, last().rows);
            expect_rounds(rounds, *ending.rest, ending.count);
        }
        rounds.expect_each(ending.count);
        if (ending.head) expect_product(rounds, *ending.head, ending.count);
    }

    // By each thread of a region.
    void run(Hand& hand) const {
        for (int i = 0; i < count; i++) {
            const DecoderLayer* next = i + 1 < count ? layers[i + 1] : ending.keys;
            const Decoder<N> decoder{*layers[i], turns[i % 2], hand, layers[i]->inner % PANEL == 0,
                next ? &next->input : nullptr, next ? &next->qkv : ending.head};
            if (i == 0) decoder.run(NORM);  // of the others whoever wrote the row has normed it
            decoder.run(QKV);
            decoder.turn([&](int row) { attending[i].write_row(row); });
            attending[i].share(hand);
            for (int part = OUT; part < END; part++) decoder.run(part);
        }
        if (ending.keys) part_layer(hand);
        if (ending.norm) head(hand);
    }

    void part_layer(Hand& hand) const {
        const Decoder<N> keys{*ending.keys, last(), hand, false, nullptr, &ending.rest->qkv};
        const typename Kind::Work writing{step, *ending.written, nullptr, 1};
        if (!count) keys.run(NORM);
        keys.run(QKV);
        keys.turn([&](int row) { writing.write(row); });
        const DecoderBatch &all = last(), &read = *ending.batch;
        const int hidden = ending.rest->hidden, rotary = ending.rest->rotary;
        hand.share_each(ending.count, [&](int i, auto write) {
            write([&] {
                take(all.states, read.states, i, hidden);
                take(all.cos, read.cos, i, rotary);
                take(all.sin, read.sin, i, rotary);
            });
        });
        const Decoder<N> rest{*ending.rest, read, hand, ending.rest->inner % PANEL == 0, nullptr, ending.head};
        for (int part = NORM; part < OUT; part++) rest.run(part);
        ending_attending[0].share(hand);
        for (int part = OUT; part < END; part++) rest.run(part);
    }

    void take(const void* from, const void* to, int i, size_t count) const {
        const T* row = (const T*)from + ending.rows[i] * count;
        std::copy(row, row + count, (T*)const_cast<void*>(to) + i * count);
    }

    void head(Hand& hand) const {
        const size_t size = ending.norm->size;
        const T* states = (const T*)(ending.keys ? ending.batch->output : last().states);
        const auto row = [&](int i) { return states + (ending.keys ? i : ending.rows[i]) * size; };
        norm_rows<N>(*ending.norm, row, (T*)ending.normed, ending.count, hand);
        if (!ending.head) return;
        const size_t outputs = ending.head->outputs;
        matmul<N>(*ending.head, {(const T*)ending.normed, (T*)ending.logits, size, outputs, ending.count},
            nullptr, hand);
    }
};

template <class N>
void run_layers(const DecoderLayer* const* layers, const Layer* attentions, int count,
    const DecoderBatch& batch, const Step& step, const Ending& ending) {
    const Layers<N> all(layers, attentions, count, batch, step, ending);
    Rounds rounds(all.rounds());
    all.expect(rounds);
#pragma omp parallel num_threads(batch.threads)
    {
        Hand hand(rounds);
        all.run(hand);
    }
}

template <class N>
void run_linear(const Matrix& matrix, const void* from, void* to, int rows, int threads) {
    typedef typename N::T T;
    const size_t inputs = matrix.inputs, outputs = matrix.outputs;
    Rounds rounds(1);
    expect_product(rounds, matrix, rows);
#pragma omp parallel num_threads(threads)
    {
        Hand hand(rounds);
        matmul<N>(matrix, {(const T*)from, (T*)to, inputs, outputs, rows}, nullptr, hand);
    }
}

template <class N>
void run_norm(const Norm& norm, const void* from, void* to, int rows, int threads) {
    typedef typename N::T T;
    Rounds rounds(1);
    rounds.expect_each(rows);
#pragma omp parallel num_threads(threads)
    {
        Hand hand(rounds);
        const auto row_at = [&](int row) { return (const T*)from + (size_t)row * norm.size; };
        norm_rows<N>(norm, row_at, (T*)to, rows, hand);
    }
}

}  // namespace

extern "C" {

// Of the layer the parts from ... to - 1, in the order of `Part`.
void baton_decoder_layer(const DecoderLayer* layer, const DecoderBatch* batch, int from, int to) {
    if (layer->dtype == 0) run_parts<Float32>(*layer, *batch, from, to);
    if (layer->dtype == 1) run_parts<BFloat16>(*layer, *batch, from, to);
    if (layer->dtype == 2) run_parts<Float16>(*layer, *batch, from, to);
}

// `count` layers one after the other, and the attention of each, which reads the batch's queries, keys and
// values and writes what was attended. The first one reads `states` and writes `output`, the next one the other
// way round, and so on: both are written to. Then the ending.
void baton_layers(const DecoderLayer* const* layers, const Layer* attentions, int count,
    const DecoderBatch* batch, const Step* step, const Ending* ending, int dtype) {
    if (dtype == 0) run_layers<Float32>(layers, attentions, count, *batch, *step, *ending);
    if (dtype == 1) run_layers<BFloat16>(layers, attentions, count, *batch, *step, *ending);
    if (dtype == 2) run_layers<Float16>(layers, attentions, count, *batch, *step, *ending);
}

// to [rows][outputs] = from [rows][inputs] times the matrix.
void baton_linear(const Matrix* matrix, const void* from, void* to, int rows, int dtype, int threads) {
    if (dtype == 0) run_linear<Float32>(*matrix, from, to, rows, threads);
    if (dtype == 1) run_linear<BFloat16>(*matrix, from, to, rows, threads);
    if (dtype == 2) run_linear<Float16>(*matrix, from, to, rows, threads);
}

// Both [rows][size].
void baton_norm(const Norm* norm, const void* from, void* to, int rows, int dtype, int threads) {
    if (dtype == 0) run_norm<Float32>(*norm, from, to, rows, threads);
    if (dtype == 1) run_norm<BFloat16>(*norm, from, to, rows, threads);
    if (dtype == 2) run_norm<Float16>(*norm, from, to, rows, threads);
}

}  // extern "C"
