// Attention over the paged KV pool on a CPU: writes a step's keys and values into their blocks,
// then every row attends to its own sequence up to itself. Reached through ctypes, so the ABI is C.
//
// A row's bits depend on nothing but its own query, position, keys and values: contexts are cut into
// parts and units at fixed positions, and each number is summed up in one order, whoever else is in
// the step, wherever the slices were cut and however many threads there are.

#include "attending.h"

namespace {

template <class N>
void attend(const Step& step, const Layer& layer) {
    const typename AttendingTo<N>::Kind attending(step, &layer, 1);
    Rounds rounds(attending.ROUNDS);
    attending.expect(rounds);
#pragma omp parallel num_threads(step.threads)
    {
        Hand hand(rounds);
        attending[0].write(hand);
        attending[0].share(hand);
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
    if (step->dtype == 0) attend<Float32>(*step, *layer);
    if (step->dtype == 1) attend<BFloat16>(*step, *layer);
    if (step->dtype == 2) attend<Float16>(*step, *layer);
}

}  // extern "C"
