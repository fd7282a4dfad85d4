/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/mem.h"

/* Of Landlock's third version, which our oldest kernel headers lack. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

struct rule {
	struct rule *next;
	int rights;
	char path[];
};

struct sandbox {
	struct rule *rules;
	int classes;
};

struct sandbox *
sandbox_new(void)
{
	return mem_zalloc(sizeof(struct sandbox));
}

void
sandbox_dir(struct sandbox *s, const char *path, int rights)
{
	const size_t n = strlen(path) + 1;
	struct rule *r = mem_alloc(sizeof(*r) + n);

	r->next = s->rules;
	r->rights = rights;
	memcpy(r->path, path, n);
	s->rules = r;
}

void
sandbox_syscalls(struct sandbox *s, int classes)
{
	s->classes |= classes;
}

static void
sandbox_free(struct sandbox **ref)
{
	struct sandbox *s = *ref;

	while (s->rules != NULL) {
		struct rule *r = s->rules;

		s->rules = r->next;
		mem_free(r);
	}
	mem_free(s);
	*ref = NULL;
}

/* ---- files ---- */
enum {
	FILE_RIGHTS = LANDLOCK_ACCESS_FS_EXECUTE |
		      LANDLOCK_ACCESS_FS_WRITE_FILE |
		      LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE
};

/* All rights that version abi of the kernel's interface knows. */
static uint64_t
known_rights(long abi)
{
	uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		all |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return all;
}

static uint64_t
kernel_rights(int rights)
{
	uint64_t r = 0;

	if (rights & SANDBOX_READ)
		r |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (rights & SANDBOX_LIST)
		r |= LANDLOCK_ACCESS_FS_READ_DIR;
	if (rights & SANDBOX_WRITE)
		r |=
		    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
	/* To the kernel a rename removes a name too. */
	if (rights & SANDBOX_MAKE)
		r |= LANDLOCK_ACCESS_FS_MAKE_REG |
		     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REFER |
		     LANDLOCK_ACCESS_FS_REMOVE_FILE;
	if (rights & SANDBOX_REMOVE)
		r |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	if (rights & SANDBOX_DIRS)
		r |=
		    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR;
	if (rights & SANDBOX_EXEC)
		r |= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
	return r;
}

static int
add_rule(int ruleset, const struct rule *r, uint64_t known, struct err *e)
{
	struct landlock_path_beneath_attr attr = {
		.allowed_access = kernel_rights(r->rights) & known,
	};
	struct stat st;
	int ret = 0;

	attr.parent_fd = open(r->path, O_PATH | O_CLOEXEC);
	if (attr.parent_fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (attr.parent_fd < 0)
		return err_sys(e, "sandbox: open %s", r->path);
	if (fstat(attr.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		attr.allowed_access &= FILE_RIGHTS;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
		&attr, 0) != 0)
		ret = err_sys(e, "sandbox: rule for %s", r->path);
	close(attr.parent_fd);
	return ret;
}

static int
confine_files(const struct sandbox *s, bool *out_partial, struct err *e)
{
	const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { 0 };
	int ruleset, ret = 0;

	*out_partial = abi < 3;
	if (abi < 1)
		return 0;
	attr.handled_access_fs = known_rights(abi);
	ruleset =
	    (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_sys(e, "sandbox: ruleset");
	for (const struct rule *r = s->rules; r != NULL && ret == 0;
	     r = r->next)
		ret = add_rule(ruleset, r, attr.handled_access_fs, e);
	if (ret == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		ret = err_sys(e, "sandbox: restrict");
	close(ruleset);
	return ret;
}

/* ---- system calls ---- */
/*
 * What is refused is listed, all else is allowed. A list of what is allowed
 * would be tighter, but it must name each call that any version of the C
 * library, OpenSSL, PAM and NSS modules may make, and where it misses one
 * mail stops; the calls below are those that reach other processes, the
 * kernel's state or its least tested corners, and none of our libraries
 * needs any of them.
 */
static const int never[] = {
	/* other processes */
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(process_madvise),
	SCMP_SYS(kcmp),
	SCMP_SYS(move_pages),
	SCMP_SYS(migrate_pages),
	SCMP_SYS(tkill),
	SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo),
	/* name spaces and mounts */
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(fanotify_init),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	/* the machine */
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(syslog),
	SCMP_SYS(vhangup),
	SCMP_SYS(modify_ldt),
	/* ways around this very list */
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	/* corners that exploits like */
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(personality),
	SCMP_SYS(vmsplice),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(uselib),
	SCMP_SYS(ustat),
	SCMP_SYS(sysfs),
};

/* Refused unless SANDBOX_SYS_FORK was asked for. */
static const int forking[] = {
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(capset),
};

static int
refuse_all(scmp_filter_ctx f, const int *calls, size_t count)
{
	int rc = 0;

	/* A call that this machine does not have needs no rule. */
	for (size_t i = 0; i < count && rc == 0; i++)
		if (calls[i] >= 0)
			rc = seccomp_rule_add(
			    f, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	return rc;
}

/* Refuses a call with errno sysno when its first argument, under the mask (0:
 * whole), compares so with the value. */
static int
refuse_if(scmp_filter_ctx f, int call, uint32_t sysno, enum scmp_compare how,
    uint64_t mask, uint64_t value)
{
	const bool masked = how == SCMP_CMP_MASKED_EQ;
	const struct scmp_arg_cmp cmp = {
		.arg = 0,
		.op = how,
		.datum_a = masked ? mask : value,
		.datum_b = masked ? value : 0,
	};

	return seccomp_rule_add_array(f, SCMP_ACT_ERRNO(sysno), call, 1, &cmp);
}

/* Signals to ourselves only, threads but no processes. */
static int
refuse_forking(scmp_filter_ctx f)
{
	const uint64_t self = (uint64_t)getpid();
	int rc = refuse_all(f, forking, COUNT_OF(forking));

	if (rc == 0)
		rc = refuse_if(f, SCMP_SYS(kill), EPERM, SCMP_CMP_NE, 0, self);
	if (rc == 0)
		rc =
		    refuse_if(f, SCMP_SYS(tgkill), EPERM, SCMP_CMP_NE, 0, self);
	if (rc == 0)
		rc = refuse_if(f, SCMP_SYS(clone), EPERM, SCMP_CMP_MASKED_EQ,
		    CLONE_THREAD, 0);
	/* clone3 has its flags in memory, out of the filter's sight; the C
	 * library falls back to clone. */
	if (rc == 0)
		rc = seccomp_rule_add(
		    f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return rc;
}

/* No sockets but UNIX ones: neither Internet nor netlink, packet ... */
static int
refuse_network(scmp_filter_ctx f)
{
	return refuse_if(
	    f, SCMP_SYS(socket), EAFNOSUPPORT, SCMP_CMP_NE, 0, AF_UNIX);
}

static int
confine_calls(const struct sandbox *s, struct err *e)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc = -ENOMEM;

	if (f != NULL)
		rc = refuse_all(f, never, COUNT_OF(never));
	if (rc == 0 && !(s->classes & SANDBOX_SYS_FORK))
		rc = refuse_forking(f);
	if (rc == 0 && !(s->classes & SANDBOX_SYS_NET))
		rc = refuse_network(f);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	if (rc == 0)
		return 0;
	errno = -rc;
	return err_sys(e, "sandbox: system call filter");
}

int
sandbox_apply(struct sandbox **ref, bool *out_partial, struct err *e)
{
	bool partial = false;
	int ret = priv_no_new_privs(e);

	if (ret == 0)
		ret = confine_files(*ref, &partial, e);
	if (ret == 0)
		ret = confine_calls(*ref, e);
	sandbox_free(ref);
	if (ret == 0)
		*out_partial = partial;
	return ret;
}
