# SPDX-License-Identifier: GPL-3.0-or-later
# Chappe: one non-recursive Makefile. Sources are found by wildcard, all
# products go under build/$(MODE)/, so several modes live side by side:
#   MODE=debug (default) | release | asan (address and undefined) | fuzz | cov
# `make help` lists the targets.

MODE ?= debug
CC ?= gcc
B := build/$(MODE)
DEVELOPER ?= 1

# ---- flags -----------------------------------------------------------------
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
	-Walloca -Wformat=2 -Wwrite-strings -Wcast-qual -Wundef \
	-Wnull-dereference -Wimplicit-fallthrough -Wdouble-promotion
ifeq ($(DEVELOPER),1)
WARN += -Werror
endif
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection \
	-fPIE -fno-common
# What is installed is optimised as a whole program (gcc has all it takes).
LTO := $(if $(findstring Free Software,$(shell $(CC) --version)),-flto=auto)
ifeq ($(MODE)$(LTO)$(origin AR),release-flto=autodefault)
AR := gcc-ar
endif
OPT_debug := -O1 -g
OPT_release := -O2 -g $(LTO) -D_FORTIFY_SOURCE=3
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined
OPT_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
OPT_cov := -O0 -g --coverage
ifeq ($(MODE),fuzz)
CC := clang
endif
CFLAGS ?=
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -I. $(WARN) $(HARDEN) $(OPT_$(MODE)) \
	$(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(OPT_$(MODE)) $(LDFLAGS)
# --as-needed: a program depends only on the libraries whose code it uses.
LIBS := -luv -lssl -lcrypto -lgdbm -lcap -lseccomp -lpcre2-8 -lidn2 \
	-lutf8proc -ljansson -lcrypt -lpthread
# The address sanitizer stands in for crypt_r, so that the linker would find
# libcrypt not needed, and the stand-in then nothing to call.
LIBS_auth := -lpam -Wl,--no-as-needed -lcrypt -Wl,--as-needed
LIBS_resolver := -lunbound

# What the programs have besides their own code in this mode.
ifeq ($(MODE),asan)
EXTRA := $(B)/tests/sanitizer.o
endif

# ---- what there is ---------------------------------------------------------
# PROGRAM:FOLDER/MAIN.c; a row whose main file is not there is left out.
PROGRAM_ROWS := master:master/master smtpd:smtpd/smtpd pickup:pickup/pickup \
	qmgr:qmgr/qmgr smtp:smtp/smtp local:local/local bounce:bounce/bounce \
	verify:verify/verify auth:auth/auth resolver:resolver/resolver log:log/log \
	imap-login:imapd/imap_login imap-spawn:imapd/imap_spawn \
	imap-session:imapd/imap_session
ROWS := $(foreach r,$(PROGRAM_ROWS),$(if \
	$(wildcard $(lastword $(subst :, ,$(r))).c),$(r)))
DAEMONS := $(foreach r,$(ROWS),$(firstword $(subst :, ,$(r))))
MAINS := $(foreach r,$(ROWS),$(lastword $(subst :, ,$(r))).c)
FOLDERS := $(sort $(patsubst %/,%,$(dir $(MAINS))))
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
PARAMS := $(wildcard */*_params.c)
LIB_SRC := $(wildcard lib/*/*.c) $(PARAMS)
UNIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*/*_test.c \
	tests/unit/*/*/*_test.c))
BENCH := $(B)/tests/bench/load
BENCH_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/bench/*.c))
FUZZ := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/*_fuzz.c))

LIB := $(B)/libchappe.a
obj = $(patsubst %.c,$(B)/%.o,$(1))
# A folder's objects but those with main() and its parameter tables.
parts = $(filter-out $(MAINS) $(PARAMS),$(wildcard $(1)/*.c))
PROGS := $(DAEMONS:%=$(B)/libexec/%) $(TOOLS:%=$(B)/bin/%)

all: $(PROGS) links
.PHONY: all links

links: $(PROGS)
	@mkdir -p $(B)/bin
	@for n in mailq newaliases; do \
		ln -sf sendmail $(B)/bin/$$n; done

$(LIB): $(call obj,$(LIB_SRC))
	@rm -f $@
	$(AR) rcs $@ $^

define folder_rules
$(B)/$(1).a: $(call obj,$(call parts,$(1)))
	@rm -f $$@
	$$(AR) rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

# $(1) program, $(2) its main file without .c
define program_rules
$(B)/libexec/$(1): $(B)/$(2).o $(EXTRA) $(B)/$(patsubst %/,%,$(dir $(2))).a \
	$(LIB)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS) $$(LIBS_$(1))
endef
$(foreach r,$(ROWS),$(eval $(call program_rules,$(firstword \
	$(subst :, ,$(r))),$(lastword $(subst :, ,$(r))))))

$(B)/tools.a: $(call obj,$(wildcard tools/common/*.c))
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/bin/%: $(B)/tools/%.o $(EXTRA) $(B)/tools.a $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(if $(filter lib/base/% lib/proto/%,$<),\
		-Wsign-conversion) -MMD -MP -c -o $@ $<

# ---- tests -----------------------------------------------------------------
# tests/unit/DIR/... is linked with the archive of the folder DIR, if any.
unit_daemon = $(filter $(FOLDERS),$(firstword $(subst /, ,\
	$(patsubst $(B)/tests/unit/%,%,$(1)))))
.SECONDEXPANSION:
# (No patsubst here: its % would be taken for the rule's.)
$(UNIT): $(B)/%: $(B)/%.o $$(addprefix $(B)/,$$(addsuffix \
	.a,$$(call unit_daemon,$$@))) $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS) \
		$(LIBS_$(call unit_daemon,$@))

unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done
.PHONY: unit

ifeq ($(MODE),fuzz)
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_MAIN := $(B)/tests/fuzz/replay.o
$(FUZZ): $(FUZZ_MAIN)
endif
$(FUZZ): $(B)/%: $(B)/%.o $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(FUZZ_MAIN) $(LIB) $(LIBS)
fuzz-build: $(FUZZ)
.PHONY: fuzz-build

# ---- benches ----
# Chappe beside Postfix, both private: see tests/bench/smtp.py, which also
# says what needs root. CELL="accept-10x100-1k calls": only these.
$(BENCH): $(BENCH_OBJS)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto
bench-build: $(BENCH)
bench-smtp: deps-check
	@$(MAKE) --no-print-directory -s MODE=release all bench-build
	@MODE=release B=build/release tests/bench/smtp.py $(CELL)
.PHONY: bench-build bench-smtp

# ---- check -----------------------------------------------------------------
# Every target below that needs packages gets them by tests/deps first; with
# DEPS=no nothing is installed: what is missing is named, and that is all.
unit-build: $(UNIT) bench-build
deps:
	@tests/deps build
deps-check:
	@tests/deps check

HEADERS := $(wildcard lib/*/*.h $(FOLDERS:%=%/*.h) tools/*/*.h)
# Each header compiles alone.
check-headers: $(HEADERS:%=$(B)/%.alone)
$(B)/%.h.alone: %.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Wno-unused-function -fsyntax-only -MMD -MP \
		-MT $@ -MF $@.d -x c $<
	@touch $@

check: deps-check
	@MODE=$(MODE) B=$(B) tests/run
# check, and what does not fit into its time.
check-full: deps-check
	@MODE=$(MODE) B=$(B) tests/run --full
# Some tests: make only ONLY="unit/lib/proto/*"
only: deps-check
	@MODE=$(MODE) B=$(B) tests/run --only '$(ONLY)'
lint:
	@tests/lint
.PHONY: unit-build deps deps-check check-headers check check-full only lint

# The fuzzers themselves, each for FUZZ_SECONDS seconds, from its corpus;
# FUZZ_TARGETS="milter policy": only these. What they find goes below
# build/fuzz/found/: new inputs into a folder for each, and what one fails on
# beside it. All run, also after a failure.
FUZZ_SECONDS ?= 20
FUZZ_TARGETS ?= $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard \
	tests/fuzz/*_fuzz.c))
fuzz: deps-check
	@$(MAKE) --no-print-directory MODE=fuzz fuzz-build
	@failed=; for t in $(FUZZ_TARGETS); do \
		found=build/fuzz/found/$$t; mkdir -p $$found; \
		echo "fuzzing $$t for $(FUZZ_SECONDS) s"; \
		dict=tests/fuzz/dict/$$t.dict; \
		build/fuzz/tests/fuzz/$${t}_fuzz -timeout=10 -verbosity=0 \
			$$(test ! -f $$dict || echo -dict=$$dict) \
			-max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=$$found- $$found \
			tests/fuzz/corpus/$$t || failed="$$failed $$t"; \
	done; \
	if [ -n "$$failed" ]; then echo "findings:$$failed"; exit 1; fi
.PHONY: fuzz

# A private instance that shows the whole way of a mail; DEMO=once: stops by
# itself.
demo: deps
	@$(MAKE) --no-print-directory -s -j$$(nproc) all
	@MODE=$(MODE) B=$(B) tests/demo $(DEMO)
.PHONY: demo

# ---- install ---------------------------------------------------------------
# Places as the defaults of lib/conf/common_params.c have them. Configuration
# that is there already is left alone.
DESTDIR ?=
prefix ?= /usr
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
libexecdir ?= $(prefix)/lib/chappe
mandir ?= $(prefix)/share/man
sysconfdir ?= /etc
unitdir ?= $(prefix)/lib/systemd/system
MAN := $(wildcard $(FOLDERS:%=%/*.[1-8]) tools/*.[1-8] conf/*.[1-8] \
	docs/*.[1-8])

install: all
	install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) \
		$(DESTDIR)$(libexecdir) $(DESTDIR)$(unitdir) \
		$(DESTDIR)$(sysconfdir)/chappe/conf.d \
		$(DESTDIR)$(sysconfdir)/pam.d
	install -m 755 $(DAEMONS:%=$(B)/libexec/%) $(DESTDIR)$(libexecdir)
	install -m 755 $(TOOLS:%=$(B)/bin/%) $(DESTDIR)$(sbindir)
	ln -sf $(sbindir)/sendmail $(DESTDIR)$(bindir)/mailq
	ln -sf $(sbindir)/sendmail $(DESTDIR)$(bindir)/newaliases
	ln -sf $(sbindir)/sendmail $(DESTDIR)$(prefix)/lib/sendmail
	for f in main.cf master.cf; do \
		test -e $(DESTDIR)$(sysconfdir)/chappe/$$f || install -m 644 \
			conf/$$f $(DESTDIR)$(sysconfdir)/chappe/$$f || exit 1; \
	done
	test -e $(DESTDIR)$(sysconfdir)/aliases || \
		install -m 644 conf/aliases $(DESTDIR)$(sysconfdir)/aliases
	test -e $(DESTDIR)$(sysconfdir)/pam.d/chappe || \
		install -m 644 conf/chappe.pam $(DESTDIR)$(sysconfdir)/pam.d/chappe
	install -m 644 conf/chappe.service $(DESTDIR)$(unitdir)
	for p in $(MAN); do s=$${p##*.}; \
		install -d $(DESTDIR)$(mandir)/man$$s && \
		install -m 644 $$p $(DESTDIR)$(mandir)/man$$s/ || exit 1; \
	done
.PHONY: install

clean:
	rm -rf build
help:
	@grep -E '^[a-z-]+:' Makefile | cut -d: -f1 | sort -u
.PHONY: clean help

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:
