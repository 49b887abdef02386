// What the threads of a parallel region share, round after round, such that nobody waits for a thread whose
// core somebody else has. A barrier would: where a gateway and its clients run beside two threads, those spent
// a fifth of both cores in front of one.
//
// A round is a number of jobs, which threads take one by one. A job computes from what earlier rounds wrote,
// into memory of its thread, and then writes, part by part. Who finds no more jobs, and parts missing for
// longer than jobs took, does those once more: whoever comes first writes a part, and others leave theirs. So
// a thread that was away finds all its parts written, by whatever round the others are in, writes nothing and
// catches up. What it read meanwhile may be of any round: a job may compute nonsense from that, but not fail.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#if defined(__x86_64__)
inline uint64_t ticks() { return __builtin_ia32_rdtsc(); }
inline void rest() { __builtin_ia32_pause(); }
#else
inline uint64_t ticks() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
inline void rest() {}
#endif

// Of one part: the round in which it was written last, twice; 1 less while it is being written.
typedef std::atomic<uint64_t> Mark;

// What all threads know of a round.
class alignas(64) Round {
public:
    // Of the first jobs each has a thread to itself, which need not ask for it; others only once it is late.
    bool begin(int first) {
        const uint64_t bit = (uint64_t)1 << first;
        return !(begun.load(std::memory_order_relaxed) & bit) &&
               !(begun.fetch_or(bit, std::memory_order_relaxed) & bit);
    }
    // Of the others one that nobody has had, if there are so many.
    int next() { return taken.fetch_add(1, std::memory_order_relaxed); }

    void add(int parts) {
        if (parts) written.fetch_add(parts, std::memory_order_acq_rel);
    }
    bool is_over(int parts) const { return written.load(std::memory_order_acquire) >= parts; }

private:
    std::atomic<uint64_t> begun{0};
    std::atomic<int> taken{0};
    alignas(64) std::atomic<int> written{0};  // parts, of threads that found no more jobs: who waits looks here
};

// The rounds of a parallel region. Made by the thread that begins it.
class Rounds {
public:
    explicit Rounds(int count) : rounds(count), before(kept().last) { kept().last += count; }

    // Told before the region of every round: up to how many parts it has, of how many its jobs are.
    void expect(size_t parts, size_t together) {
        hold(jobs_of(parts, together) * stride(together));
    }
    // Of parts of little work: however many of them are together.
    void expect_each(size_t parts) { hold(9 * parts + 7); }

    static size_t jobs_of(size_t parts, size_t together) {
        return parts ? (parts + together - 1) / together : 0;
    }
    // Marks of two jobs stand in different lines.
    static size_t stride(size_t together) { return (together + 7) / 8 * 8; }

    Round& operator[](int number) { return rounds[number]; }
    Mark* all_marks() const { return marks; }
    // What marks say of parts that are being written in that round.
    uint64_t writing(int number) const { return 2 * (before + number) + 1; }

private:
    void hold(size_t size) {
        if (kept().size < size) {
            kept().marks.reset(new Mark[size]());
            kept().size = size;
        }
        marks = kept().marks.get();
    }

    // A thread's from region to region, so that they need not be cleared: rounds are never the same.
    struct Kept {
        std::unique_ptr<Mark[]> marks;
        size_t size = 0;
        uint64_t last = 0;
    };
    static Kept& kept() {
        static thread_local Kept one;
        return one;
    }

    std::vector<Round> rounds;
    const uint64_t before;  // rounds of earlier regions
    Mark* marks = nullptr;
};

// The parts of a round's jobs: `together` of them are a job, less of the last one.
class Sheet {
public:
    const int parts, together, jobs;

    Sheet(Mark* marks, uint64_t writing, int parts, int together)
        : parts(parts), together(together), jobs(Rounds::jobs_of(parts, together)),
          marks(marks), writing(writing), stride(Rounds::stride(together)) {}

    int parts_of(int job) const { return std::min(together, parts - job * together); }
    // Whether nobody has written it yet, or begun to.
    bool is_open(int job, int part) const { return said(job, part) < writing; }
    bool is_open(int job) const {
        for (int part = 0; part < parts_of(job); part++)
            if (is_open(job, part)) return true;
        return false;
    }
    bool is_written(int job) const {
        for (int part = 0; part < parts_of(job); part++)
            if (said(job, part) <= writing) return false;
        return true;
    }

    template <class Write>
    void write(int job, int part, Write write) {
        Mark& mark = at(job, part);
        uint64_t was = mark.load(std::memory_order_acquire);
        if (was >= writing || !mark.compare_exchange_strong(was, writing)) return;
        write();
        mark.store(writing + 1, std::memory_order_release);
        mine++;
    }

    // Parts that this thread wrote since it last asked.
    int taken() { return std::exchange(mine, 0); }

private:
    Mark& at(int job, int part) const { return marks[job * stride + part]; }
    uint64_t said(int job, int part) const { return at(job, part).load(std::memory_order_acquire); }

    Mark* const marks;
    const uint64_t writing;
    const size_t stride;
    int mine = 0;
};

// One that a thread has taken.
struct Job {
    Sheet& sheet;
    const int number;
    const int next;  // what the thread is likely to have next; none: as many as there are jobs

    int parts() const { return sheet.parts_of(number); }
    bool is_open(int part) const { return sheet.is_open(number, part); }
    template <class Write>
    void write(int part, Write write) const { sheet.write(number, part, write); }
};

// A thread's way through the rounds: all threads call the same, one after the other.
class Hand {
public:
    explicit Hand(Rounds& rounds) : rounds(rounds) {}

    // The number of the job that this thread begins the next round with, if that has so many.
    int first() const { return me; }
    int threads() const { return team; }

    // `work` gets jobs of `together` parts. `early`: a thread takes a job before it works on the one before.
    // Nobody leaves before all parts are written.
    template <class Work>
    void share(int parts, int together, bool early, Work work) {
        Round& round = rounds[number];
        Sheet sheet(rounds.all_marks(), rounds.writing(number++), parts, together);
        const int firsts = std::min({team, sheet.jobs, MOST_FIRSTS});
        uint64_t now = ticks(), longest = 0;
        const auto run = [&](int job, int next) {
            work(Job{sheet, job, std::min(next, sheet.jobs)});
            const uint64_t before = std::exchange(now, ticks());
            longest = std::max(longest, now - before);
        };
        const auto another = [&] { return firsts < sheet.jobs ? firsts + round.next() : firsts; };
        int job = me < firsts && round.begin(me) ? me : another();
        while (job < sheet.jobs) {
            const int next = early ? another() : job + 1;
            run(job, next);
            job = early ? next : another();
        }
        for (int first = 0; first < firsts; first++)
            if (round.begin(first)) run(first, sheet.jobs);
        round.add(sheet.taken());
        if (longest) patience = 2 * longest + LEAST_PATIENCE;
        for (const uint64_t start = now; !round.is_over(parts); rest()) {
            if (ticks() - start < patience) continue;
            for (int late = 0; late < sheet.jobs && !round.is_over(parts); late++)
                if (sheet.is_open(late)) run(late, sheet.jobs);
            round.add(sheet.taken());
            if (all_written(sheet)) return;
        }
    }

    // The same of parts of little work each: jobs are several of them, one for each thread, or more where there
    // are many. `work` gets the number of a part, and what writes it.
    template <class Work>
    void share_each(int parts, Work work) {
        const int turns = parts > team * MANY ? TURNS : 1, together = (parts + team * turns - 1) / (team * turns);
        share(parts, together, false, [&](const Job& job) {
            for (int part = 0; part < job.parts(); part++)
                if (job.is_open(part))
                    work(job.number * together + part, [&](auto write) { job.write(part, write); });
        });
    }

private:
    static constexpr int MOST_FIRSTS = 64;
    static constexpr int MANY = 16, TURNS = 4;         // parts of little work; jobs of a thread
    static constexpr uint64_t LEAST_PATIENCE = 20000;  // ticks: some microseconds

    static bool all_written(const Sheet& sheet) {
        for (int job = 0; job < sheet.jobs; job++)
            if (!sheet.is_written(job)) return false;
        return true;
    }

    Rounds& rounds;
    const int me = omp_get_thread_num(), team = omp_get_num_threads();
    int number = 0;
    uint64_t patience = LEAST_PATIENCE;
};
