// Copies runs of bytes with stores that go around the caches. The target is larger than they are
// and is read much later: an ordinary store would first fetch each line that it overwrites, and
// would push out what the engine works on.

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr size_t kSlice = 256 << 10;  // bytes between two looks at `stop`

using Copy = void (*)(uint8_t* target, const uint8_t* source, size_t length);

#if defined(__x86_64__)

constexpr size_t kPage = 4096;
constexpr size_t kStride = 4 * kPage;  // four pages in step keep more reads under way than one does

// Bytes until `target` is on a boundary of a line of 64.
size_t head_of(const uint8_t* target, size_t length) {
    size_t head = (64 - (reinterpret_cast<uintptr_t>(target) & 63)) & 63;
    return head < length ? head : length;
}

inline void line_sse2(uint8_t* target, const uint8_t* source) {
    const __m128i* from = reinterpret_cast<const __m128i*>(source);
    __m128i* to = reinterpret_cast<__m128i*>(target);
    __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
    __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
    _mm_stream_si128(to, a);
    _mm_stream_si128(to + 1, b);
    _mm_stream_si128(to + 2, c);
    _mm_stream_si128(to + 3, d);
}

void copy_sse2(uint8_t* target, const uint8_t* source, size_t length) {
    size_t i = head_of(target, length);
    std::memcpy(target, source, i);
    for (; i + kStride <= length; i += kStride)
        for (size_t at = i; at < i + kPage; at += 64)
            for (size_t page = 0; page < kStride; page += kPage)
                line_sse2(target + at + page, source + at + page);
    for (; i + 64 <= length; i += 64) line_sse2(target + i, source + i);
    std::memcpy(target + i, source + i, length - i);
}

__attribute__((target("avx2"))) inline void pair_avx2(uint8_t* target, const uint8_t* source) {
    const __m256i* from = reinterpret_cast<const __m256i*>(source);
    __m256i* to = reinterpret_cast<__m256i*>(target);
    __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
    __m256i c = _mm256_loadu_si256(from + 2), d = _mm256_loadu_si256(from + 3);
    _mm256_stream_si256(to, a);
    _mm256_stream_si256(to + 1, b);
    _mm256_stream_si256(to + 2, c);
    _mm256_stream_si256(to + 3, d);
}

__attribute__((target("avx2"))) void copy_avx2(uint8_t* target, const uint8_t* source,
                                               size_t length) {
    size_t i = head_of(target, length);
    std::memcpy(target, source, i);
    for (; i + kStride <= length; i += kStride)
        for (size_t at = i; at < i + kPage; at += 128)
            for (size_t page = 0; page < kStride; page += kPage)
                pair_avx2(target + at + page, source + at + page);
    for (; i + 128 <= length; i += 128) pair_avx2(target + i, source + i);
    std::memcpy(target + i, source + i, length - i);
}

void fence() { _mm_sfence(); }

#else

void copy_plain(uint8_t* target, const uint8_t* source, size_t length) {
    std::memcpy(target, source, length);
}

void fence() {}

#endif

// By name, so that a test reaches each; null where this machine cannot run it.
Copy copy_named(int32_t kind) {
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2");
    if (kind == 0) return avx2 ? copy_avx2 : copy_sse2;
    if (kind == 1) return copy_sse2;
    return kind == 2 && avx2 ? copy_avx2 : nullptr;
#else
    return kind == 0 ? copy_plain : nullptr;
#endif
}

}  // namespace

extern "C" {

// `runs` holds `count` times (source offset, target offset, length), lengths above 0, all checked by
// the caller; the two memories do not overlap. `kind`: 0 the best, 1 SSE2, 2 AVX2. Returns how many
// bytes were copied: fewer than asked only once `*stop` is other than 0, -1 where this machine has
// no such kind. Every byte counted is there on return, and none lands later.
int64_t baton_copy_runs(uint8_t* target, const uint8_t* source, const int64_t* runs, size_t count,
                        const volatile int32_t* stop, int32_t kind) {
    Copy copy = copy_named(kind);
    if (copy == nullptr) return -1;
    int64_t done = 0;
    for (size_t run = 0; run < count && !*stop; ++run) {
        const uint8_t* from = source + runs[3 * run];
        uint8_t* to = target + runs[3 * run + 1];
        size_t length = static_cast<size_t>(runs[3 * run + 2]);
        for (size_t at = 0; at < length && !*stop; at += kSlice) {
            size_t slice = length - at < kSlice ? length - at : kSlice;
            copy(to + at, from + at, slice);
            done += static_cast<int64_t>(slice);
        }
    }
    fence();
    return done;
}

}  // extern "C"
