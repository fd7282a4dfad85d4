#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of queue.py with queue_commit = file: the reference that group
commit is compared with."""
# instance: -o queue_commit=file -o minimal_backoff_time=2s -o initial_destination_concurrency=20
# timeout: 180

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            "queue.py"), run_name="__main__")
