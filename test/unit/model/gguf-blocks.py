"""Writes gguf-blocks.json: random blocks of every GGUF type, and their numbers as the gguf package decodes them.

    pip install gguf==0.19.0 && python gguf-blocks.py

Each type has ROWS rows of 256 numbers. All bits are random but the f16 scales, which are any finite numbers: subnormal
ones, zeros and negative ones too. The file holds base64: `blocks` as they lie in a file, `values` as little-endian f32.
"""

import base64
import json
import pathlib

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

ROWS = 3
COLUMNS = 256
# byte offsets of the f16 scales in a block (ggml-common.h)
SCALES = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}


def random_blocks(name: str, random: numpy.random.Generator) -> numpy.ndarray:
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    count = ROWS * COLUMNS // elements
    blocks = random.integers(0, 256, (count, size), dtype=numpy.uint8)
    for offset in SCALES[name]:
        bits = random.integers(0, 1 << 16, count, dtype=numpy.uint16)
        # an exponent of 31 is no number
        bits = numpy.where((bits >> 10 & 31) == 31, bits & numpy.uint16(0x83FF), bits).astype("<u2")
        blocks[:, offset : offset + 2] = bits.view(numpy.uint8).reshape(count, 2)
    return blocks.reshape(ROWS, -1)


def text(array: numpy.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def main() -> None:
    random = numpy.random.default_rng(20240)
    cases = []
    for name in SCALES:
        blocks = random_blocks(name, random)
        values = dequantize(blocks, GGMLQuantizationType[name]).astype("<f4")
        assert values.shape == (ROWS, COLUMNS) and numpy.isfinite(values).all()
        number = int(GGMLQuantizationType[name])
        cases.append({"type": name, "number": number, "blocks": text(blocks), "values": text(values)})
    out = pathlib.Path(__file__).with_suffix(".json")
    out.write_text(json.dumps({"rows": ROWS, "columns": COLUMNS, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
