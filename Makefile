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
OPT_debug := -O1 -g
OPT_release := -O2 -g -D_FORTIFY_SOURCE=3
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
	-lcrypt -lpthread
LIBS_auth := -lpam
LIBS_resolver := -lunbound

# ---- what there is ---------------------------------------------------------
DAEMONS := $(patsubst %/,%,$(dir $(wildcard $(foreach d,master smtpd pickup \
	qmgr smtp local bounce auth resolver imapd log,$(d)/$(d).c))))
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
PARAMS := $(wildcard */*_params.c)
LIB_SRC := $(wildcard lib/*/*.c) $(PARAMS)
UNIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*/*_test.c \
	tests/unit/*/*/*_test.c))
FUZZ := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/*_fuzz.c))

LIB := $(B)/libchappe.a
obj = $(patsubst %.c,$(B)/%.o,$(1))
# A daemon's objects but the one with main() and its parameter table.
parts = $(filter-out $(1)/$(1).c $(PARAMS),$(wildcard $(1)/*.c))
PROGS := $(DAEMONS:%=$(B)/libexec/%) $(TOOLS:%=$(B)/bin/%)

all: $(PROGS) links
.PHONY: all links

links: $(PROGS)
	@for n in mailq newaliases; do \
		ln -sf sendmail $(B)/bin/$$n; done

$(LIB): $(call obj,$(LIB_SRC))
	@rm -f $@
	$(AR) rcs $@ $^

define daemon_rules
$(B)/$(1).a: $(call obj,$(call parts,$(1)))
	@rm -f $$@
	$$(AR) rcs $$@ $$^
$(B)/libexec/$(1): $(B)/$(1)/$(1).o $(B)/$(1).a $(LIB)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS) $$(LIBS_$(1))
endef
$(foreach d,$(DAEMONS),$(eval $(call daemon_rules,$(d))))

$(B)/tools.a: $(call obj,$(wildcard tools/common/*.c))
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/bin/%: $(B)/tools/%.o $(B)/tools.a $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(if $(filter lib/base/% lib/proto/%,$<),\
		-Wsign-conversion) -MMD -MP -c -o $@ $<

# ---- tests -----------------------------------------------------------------
# tests/unit/DIR/... is linked with the archive of the daemon DIR, if any.
unit_daemon = $(filter $(DAEMONS),$(firstword $(subst /, ,\
	$(patsubst $(B)/tests/unit/%,%,$(1)))))
.SECONDEXPANSION:
$(UNIT): $(B)/%: $(B)/%.o $$(patsubst %,$(B)/%.a,$$(call unit_daemon,$$@)) \
	$(LIB)
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

clean:
	rm -rf build
help:
	@grep -E '^[a-z-]+:' Makefile | cut -d: -f1 | sort -u
.PHONY: clean help

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:
