// Who works on which panel of a product. Each thread begins with the panel of its own number; the others
// are for whoever asks, and who asks before it works on one can have memory fetch the next in time.
#pragma once

#include <omp.h>

#include <atomic>

class Claims {
public:
    // The first panel of the calling thread.
    static int first() { return omp_get_thread_num(); }
    // One that nobody has had, if there are so many.
    int next() { return omp_get_num_threads() + taken.fetch_add(1, std::memory_order_relaxed); }

private:
    std::atomic<int> taken{0};
};
