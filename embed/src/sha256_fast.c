/* SHA-256 by the instructions that x86-64 and arm64 have for it: opening an engine hashes all of it. */
#define _GNU_SOURCE
#include "sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

__attribute__((target("sha,sse4.1"))) static void fast_blocks(uint32_t state[8], const uint8_t *data, size_t count) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; count; count--, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), order);
        for (int i = 0; i < 16; i++) {
            __m128i now = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const __m128i *)(SHA256_K + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, now);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(now, 0x0e));
            if (i < 3 || i == 15) continue;
            __m128i next = _mm_sha256msg1_epu32(w[(i + 1) & 3], w[(i + 2) & 3]);
            next = _mm_add_epi32(next, _mm_alignr_epi8(w[i & 3], w[(i + 3) & 3], 4));
            w[(i + 1) & 3] = _mm_sha256msg2_epu32(next, w[i & 3]);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

sha256_blocks sha256_fast_blocks(void) {
    enum { SSE41 = 1 << 19, SSSE3 = 1 << 9, SHA = 1 << 29 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & SSE41) || !(c & SSSE3)) return NULL;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & SHA ? fast_blocks : NULL;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <arm_neon.h>
#include <sys/auxv.h>

__attribute__((target("+crypto"))) static void fast_blocks(uint32_t state[8], const uint8_t *data, size_t count) {
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; count; count--, data += 64) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t w[4];
        for (int i = 0; i < 4; i++) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
        for (int i = 0; i < 16; i++) {
            uint32x4_t now = vaddq_u32(w[i & 3], vld1q_u32(SHA256_K + 4 * i)), before = abcd;
            if (i < 12)
                w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
            abcd = vsha256hq_u32(abcd, efgh, now);
            efgh = vsha256h2q_u32(efgh, before, now);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

sha256_blocks sha256_fast_blocks(void) {
    enum { HAS_SHA2 = 1 << 6 };
    return getauxval(AT_HWCAP) & HAS_SHA2 ? fast_blocks : NULL;
}

#else
sha256_blocks sha256_fast_blocks(void) { return NULL; }
#endif
