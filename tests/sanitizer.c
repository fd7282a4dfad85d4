/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Linked into the programs of MODE=asan, not into the tests of modules: leaks
 * are not looked for in them. The tools leave their memory to exit, and the
 * daemons are not dumpable, so that nobody could look; and tests start them
 * with an empty environment, where ASAN_OPTIONS would be lost.
 */

const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
