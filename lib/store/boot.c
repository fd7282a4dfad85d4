/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/boot.h"

#include <fcntl.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/crc.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"

static const uint64_t boot_by_id = (uint64_t)1 << 63;

uint64_t
boot_mark(void)
{
	struct timespec up;
	struct buf b;
	uint64_t boot;

	buf_init(&b, 100);
	if (fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 100, &b,
		NULL) == 0) {
		boot = (uint64_t)crc32c(0, buf_span(&b)) << 31 |
		    crc32c(1, buf_span(&b)) >> 1 | boot_by_id;
	} else {
		clock_gettime(CLOCK_BOOTTIME, &up);
		boot = (uint64_t)(clock_wall_us() / 1000000 - up.tv_sec) &
		    ~boot_by_id;
	}
	buf_release(&b);
	return boot;
}

bool
boot_same(uint64_t a, uint64_t b)
{
	if (a == b)
		return true;
	return ((a | b) & boot_by_id) == 0 && (a > b ? a - b : b - a) <= 5;
}
