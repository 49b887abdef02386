// Threads that go through rounds, one of which is away for as long as the others need for many rounds. Prints
// "away N", how many rounds those were, and "right" if every part was written once, with what one thread alone
// would have written.

#include "rounds.h"

#include <cstdio>
#include <cstdlib>

namespace {

constexpr int THREADS = 3, ROUNDS = 400, PARTS = 37;
constexpr int LEAVES = 5, BACK = 300;  // rounds: the one in which a thread goes away, and after which it comes back

typedef std::vector<std::vector<uint64_t>> Table;  // [rounds + 1][parts]

uint64_t next(const std::vector<uint64_t>& before, int round, int part) {
    return before[part] * 6364136223846793005u + before[(part * 7 + 3) % PARTS] + round;
}

struct Probe {
    Table values{ROUNDS + 1, std::vector<uint64_t>(PARTS, 1)}, written{ROUNDS, std::vector<uint64_t>(PARTS)};
    std::vector<uint64_t> in_place = std::vector<uint64_t>(PARTS);  // how often each was raised by one
    std::atomic<bool> left{false};
    std::atomic<int> reached{0}, missed{0};

    // A job's thread is away before it writes, once, until the others are far ahead.
    void go_away(int round) {
        if (round != LEAVES || left.exchange(true)) return;
        while (reached.load() < BACK) rest();
        missed = reached.load() - round;
    }

    template <class Write>
    void part(int round, int number, Write write) {
        const uint64_t value = next(values[round], round, number), raised = in_place[number] + 1;
        go_away(round);
        write([&] {
            values[round + 1][number] = value;
            in_place[number] = raised;
            written[round][number]++;
        });
    }

    void run(Hand& hand) {
        for (int round = 0; round < ROUNDS; round++) {
            const int together = 1 + round % 5;
            if (round % 3 == 0) {
                hand.share_each(PARTS, [&](int number, auto write) { part(round, number, write); });
            } else {
                hand.share(PARTS, together, round % 2, [&](const Job& job) {
                    for (int i = 0; i < job.parts(); i++)
                        if (job.is_open(i))
                            part(round, job.number * together + i, [&](auto write) { job.write(i, write); });
                });
            }
            int before = reached.load();
            while (before < round && !reached.compare_exchange_weak(before, round)) {}
        }
    }

    bool is_right() const {
        std::vector<uint64_t> now(PARTS, 1), then(PARTS);
        for (int round = 0; round < ROUNDS; round++, now = then)
            for (int number = 0; number < PARTS; number++) {
                then[number] = next(now, round, number);
                if (values[round + 1][number] != then[number] || written[round][number] != 1) return false;
            }
        return std::count(in_place.begin(), in_place.end(), ROUNDS) == PARTS;
    }
};

}  // namespace

int main() {
    for (int go = 0; go < 20; go++) {  // the second one finds the marks of the first
        Probe probe;
        Rounds rounds(ROUNDS);
        rounds.expect_each(PARTS);
        rounds.expect(PARTS, 1);
#pragma omp parallel num_threads(THREADS)
        {
            Hand hand(rounds);
            probe.run(hand);
        }
        if (!go) std::printf("away %d\n", probe.missed.load());
        if (!probe.is_right()) return std::puts("wrong"), EXIT_FAILURE;
    }
    std::puts("right");
}
