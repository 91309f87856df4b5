"""Makes the Parquet files beside this script: python make_files.py (pip install pyarrow).

They are what a common writer writes, small; hostile files are built byte by byte in builder.ts.
"""

import datetime
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

folder = pathlib.Path(__file__).parent / "files"
message = pa.struct([("role", pa.string()), ("content", pa.string())])
day = datetime.date
moment = datetime.datetime

every = pa.table(
    {
        "prompt": pa.array(["1 + 1 =", "café \U0001f600", None, "x" * 300]),
        "completion": pa.array([" 2", "b", "c", "d"]),
        "count": pa.array([1, 2**53 + 1, None, -7], pa.int64()),
        "small": pa.array([1, None, 3, 4], pa.uint8()),
        "ratio": pa.array([0.5, 1.25, None, -2.0], pa.float64()),
        "yes": pa.array([True, None, False, True]),
        "day": pa.array([day(2024, 2, 29), None, day(1969, 12, 31), day(1, 1, 1)]),
        "at": pa.array(
            [moment(2024, 2, 29, 1, 2, 3, 456789), None, moment(1969, 12, 31, 23, 59, 59, 1), moment(2000, 1, 1)],
            pa.timestamp("us"),
        ),
        "price": pa.array([None, None, None, None], pa.decimal128(9, 2)),
        "messages": pa.array(
            [
                [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
                [],
                None,
                [{"role": "user", "content": None}],
            ],
            pa.list_(message),
        ),
    }
)
plain = {"store_schema": False, "write_statistics": False}
pq.write_table(every, folder / "every.parquet", compression="snappy", row_group_size=3, **plain)
pq.write_table(
    every, folder / "pages2.parquet", compression="snappy", data_page_version="2.0", use_dictionary=False, **plain
)
two = every.select(["prompt", "completion"])
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(two, folder / f"{codec}.parquet", compression=codec, **plain)
