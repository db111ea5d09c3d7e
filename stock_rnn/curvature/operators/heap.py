"""Memory that is freed and soon wanted again, kept by the process."""

from __future__ import annotations

import numpy as np

# glibc's own largest threshold is 32 MiB, with what it adds to a block.
_LARGEST_BLOCK = 31 * 2**20


def keep_freed_memory() -> None:
    """Let the C library keep up to about 62 MiB of free memory at the end of its heap.

    A product allocates and frees hundreds of tensors. glibc gives the free end of its heap
    back to the system and asks for it again: at 4,000 parameters that took half of a
    product's time, in page faults. How much it keeps it learns from the largest block
    that it got back so far (mallopt(3), M_MMAP_THRESHOLD). So one is allocated here,
    never touched, and freed. Limits that a user has set (MALLOC_TRIM_THRESHOLD_, ...)
    stay; other C libraries are left as they are.
    """
    np.empty(_LARGEST_BLOCK, np.uint8)
