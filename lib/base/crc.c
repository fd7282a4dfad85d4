/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/crc.h"

#include <endian.h>

/*
 * Eight bytes a step with eight tables. CRCs are linear, so an entry is the
 * sum of the entries of its bits: eight numbers make a table of 256.
 */
#define BIT(i, k, v) (((i) >> (k) & 1) ? (v) : 0U)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                       \
	(BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^           \
	    BIT(i, 4, e) ^ BIT(i, 5, f) ^ BIT(i, 6, g) ^ BIT(i, 7, h))
#define ROW4(M, i) M((i)), M((i) + 1), M((i) + 2), M((i) + 3)
#define ROW16(M, i)                                                            \
	ROW4(M, (i)), ROW4(M, (i) + 4), ROW4(M, (i) + 8), ROW4(M, (i) + 12)
#define ROW64(M, i)                                                            \
	ROW16(M, (i)), ROW16(M, (i) + 16), ROW16(M, (i) + 32), ROW16(M, (i) + 48)
#define ROW256(M) ROW64(M, 0), ROW64(M, 64), ROW64(M, 128), ROW64(M, 192)

#define T0(i)                                                                 \
	ENTRY(i, 0xf26b8303U, 0xe13b70f7U, 0xc79a971fU, 0x8ad958cfU,      \
	    0x105ec76fU, 0x20bd8edeU, 0x417b1dbcU, 0x82f63b78U)
#define T1(i)                                                                 \
	ENTRY(i, 0x13a29877U, 0x274530eeU, 0x4e8a61dcU, 0x9d14c3b8U,      \
	    0x3fc5f181U, 0x7f8be302U, 0xff17c604U, 0xfbc3faf9U)
#define T2(i)                                                                 \
	ENTRY(i, 0xa541927eU, 0x4f6f520dU, 0x9edea41aU, 0x38513ec5U,      \
	    0x70a27d8aU, 0xe144fb14U, 0xc76580d9U, 0x8b277743U)
#define T3(i)                                                                 \
	ENTRY(i, 0xdd45aab8U, 0xbf672381U, 0x7b2231f3U, 0xf64463e6U,      \
	    0xe964b13dU, 0xd725148bU, 0xaba65fe7U, 0x52a0c93fU)
#define T4(i)                                                                 \
	ENTRY(i, 0x38116facU, 0x7022df58U, 0xe045beb0U, 0xc5670b91U,      \
	    0x8f2261d3U, 0x1ba8b557U, 0x37516aaeU, 0x6ea2d55cU)
#define T5(i)                                                                 \
	ENTRY(i, 0xef306b19U, 0xdb8ca0c3U, 0xb2f53777U, 0x6006181fU,      \
	    0xc00c303eU, 0x85f4168dU, 0x0e045bebU, 0x1c08b7d6U)
#define T6(i)                                                                 \
	ENTRY(i, 0x68032cc8U, 0xd0065990U, 0xa5e0c5d1U, 0x4e2dfd53U,      \
	    0x9c5bfaa6U, 0x3d5b83bdU, 0x7ab7077aU, 0xf56e0ef4U)
#define T7(i)                                                                 \
	ENTRY(i, 0x493c7d27U, 0x9278fa4eU, 0x211d826dU, 0x423b04daU,      \
	    0x847609b4U, 0x0d006599U, 0x1a00cb32U, 0x34019664U)

static const uint32_t tables[8][256] = {
	{ ROW256(T0) }, { ROW256(T1) }, { ROW256(T2) }, { ROW256(T3) },
	{ ROW256(T4) }, { ROW256(T5) }, { ROW256(T6) }, { ROW256(T7) },
};

static uint32_t
load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint32_t
crc32c_tables(uint32_t crc, struct span bytes)
{
	const uint8_t *p = bytes.p;
	size_t n = bytes.n;

	crc = ~crc;
	for (; n >= 8; p += 8, n -= 8) {
		const uint32_t a = load32(p) ^ crc, b = load32(p + 4);

		crc = tables[7][a & 0xff] ^ tables[6][a >> 8 & 0xff] ^
		    tables[5][a >> 16 & 0xff] ^ tables[4][a >> 24] ^
		    tables[3][b & 0xff] ^ tables[2][b >> 8 & 0xff] ^
		    tables[1][b >> 16 & 0xff] ^ tables[0][b >> 24];
	}
	for (; n > 0; p++, n--)
		crc = tables[0][(crc ^ *p) & 0xff] ^ crc >> 8;
	return ~crc;
}

#ifdef __x86_64__
/* SSE 4.2 has an instruction for just this polynomial. */
static uint32_t __attribute__((target("sse4.2")))
crc32c_instruction(uint32_t crc, struct span bytes)
{
	const uint8_t *p = bytes.p;
	size_t n = bytes.n;
	uint64_t sum = ~crc, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, sizeof(word));
		sum = __builtin_ia32_crc32di(sum, word);
	}
	crc = (uint32_t)sum;
	for (; n > 0; p++, n--)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}
#endif

uint32_t
crc32c(uint32_t crc, struct span bytes)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_instruction(crc, bytes);
#endif
	return crc32c_tables(crc, bytes);
}
