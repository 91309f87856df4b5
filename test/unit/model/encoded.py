"""Writes encoded.json: random numbers, and their bytes in F16, BF16 and Q8_0 as numpy and the gguf package encode them.

    pip install gguf==0.19.0 && python encoded.py

8 rows of 64 numbers of many sizes: subnormal halves, ties, zeros, blocks of zeros. The file holds base64.
"""

import base64
import json
import pathlib

import numpy
from gguf import GGMLQuantizationType
from gguf.quants import quantize

random = numpy.random.default_rng(7)
values = random.normal(size=(8, 64)).astype(numpy.float32)
values[1] *= numpy.float32(1e-6)
values[2] *= (2.0 ** random.integers(-24, 12, 64)).astype(numpy.float32)
values[3, :32] = 0
# halfway between two bf16 numbers, and between two f16 numbers
values[4] = (1 + (2 * numpy.arange(64) + 1) / 256).astype(numpy.float32)
values[5] = (1 + (2 * numpy.arange(64) + 1) / 2048 / 2).astype(numpy.float32)
# halfway between two levels of Q8_0
values[6] = (numpy.arange(64) - 31.5).astype(numpy.float32)
values[6, 0] = values[6, 32] = 127
encoded = {"F16": values.astype("<f2"), "F32": values.astype("<f4")}
for name in ("BF16", "Q8_0"):
    encoded[name] = quantize(values, GGMLQuantizationType[name])
text = {name: base64.b64encode(array.tobytes()).decode() for name, array in encoded.items()}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(text, indent=2) + "\n")
