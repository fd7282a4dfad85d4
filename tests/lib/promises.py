# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/PROMISES.md against what ran: a row marked `shown` holds only if each
test it names ran here and passed."""

import os
import re

from suite import B, ROOT, Result

PAGE = "docs/PROMISES.md"
STATES = ("shown", "partly", "not yet")


def rows(text):
    """(line number, promise, [test], state) of the table's rows."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            continue
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and (cells[0] == "promise" or set(cells[0]) <= set("-: ")):
            continue
        if len(cells) >= 3 and cells[0].startswith("**") and not cells[1]:
            continue
        yield number, cells


def fault_of(cells, results, left_out):
    if len(cells) != 3:
        return "has %d columns, not 3" % len(cells)
    promise, tests, state = cells
    if state not in STATES:
        return "state %r is none of %s" % (state, ", ".join(STATES))
    if state != "shown":
        return None
    if not tests.split():
        return "is shown, but names no test"
    for name in tests.split():
        if name in left_out:
            continue
        result = results.get(name)
        if result is None:
            return "is shown by %s, which did not run" % name
        if result.failed:
            return "is shown by %s, which failed" % name
        if result.passed == 0:
            return "is shown by %s, of which nothing passed" % name
    return None


def check(results, left_out):
    log = os.path.join(ROOT, B, "log", "promises.log")
    result = Result("docs/promises", log)
    by_name = {r.name: r for r in results}
    names_left_out = {t.name for t in left_out}
    lines = []
    with open(os.path.join(ROOT, PAGE)) as f:
        for number, cells in rows(f.read()):
            fault = fault_of(cells, by_name, names_left_out)
            if fault:
                line = "%s:%d: %s: %s" % (PAGE, number, cells[0][:60], fault)
                lines.append(line)
                result.failed.append(line)
    result.passed = 0 if result.failed else 1
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w") as f:
        f.write("".join(line + "\n" for line in lines))
    return result
