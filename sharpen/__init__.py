"""Sharpen: reasoning language models that improve themselves, measured honestly.

Importing this package is cheap: nothing here pulls in torch. It only pins the
numerics of MKL, which must happen before torch is first imported (see
``sharpen.sample.exact``).
"""

import os
import sys

__version__ = "0.1.0"

# MKL's reproducible code path: the bits of a row of a matrix product then do
# not depend on how many rows share it. It has no effect once MKL has run, so
# it is set here, and the engine probes at start whether it took hold.
if "torch" not in sys.modules:
    os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
