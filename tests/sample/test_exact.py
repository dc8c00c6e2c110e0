"""Exact mode is on in the suite, and noticed when it is off."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from sharpen.sample.exact import environment


def test_the_suite_runs_in_exact_mode_and_says_what_bits_rest_on():
    found = environment()
    assert found["exact"] is True
    assert found["threads"] == int(os.environ["OMP_NUM_THREADS"])
    assert json.loads(json.dumps(found)) == found
    assert os.uname().nodename not in json.dumps(found)


def test_exact_mode_is_off_where_torch_came_first():
    code = "import torch, sharpen.sample.exact as e; print(e.probe())"
    clean = {k: v for k, v in os.environ.items() if k != "MKL_CBWR"}
    result = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr
