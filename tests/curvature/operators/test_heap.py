"""Memory that products free and want again."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, numpy as np
from stock_rnn.curvature.operators.heap import keep_freed_memory

def faults():
    # 60 blocks of 100 KB: below the size that glibc maps singly.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.ones(12_500) for _ in range(60)]
        del blocks
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's heap")
def test_freed_memory_is_not_faulted_in_again():
    command = [sys.executable, "-c", COUNT]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    before, after = map(float, found)
    # 6 MB are 1,465 pages.
    assert before > 1000
    assert after < 100
