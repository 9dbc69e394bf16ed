"""Tables as Arrow files: encoded whole, and read back only with exactly the columns that they should have."""

from __future__ import annotations

import io
from typing import Any

COMPRESSIONS = ("zstd", "lz4")
"""What tables of integers are packed with: the first that this build of Arrow has; without either they stay plain."""


def arrow_bytes(columns: dict[str, Any], schema: Any, *, packed: bool = False) -> bytes:
    """One table as the bytes of an Arrow file. Raises ValueError (Arrow's) for columns of unequal length."""
    import pyarrow as pa

    buffer = io.BytesIO()
    compression = next((name for name in COMPRESSIONS if packed and pa.Codec.is_available(name)), None)
    with pa.ipc.new_file(buffer, schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    return buffer.getvalue()


def arrow_table(data: bytes) -> Any:
    """The table in the bytes of an Arrow file. Raises ValueError saying why it cannot be read."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"cannot be read as an Arrow file ({_one_line(error)})") from error
    return table


def columns_of(table: Any) -> dict[str, str]:
    """Types by column, in words."""
    return {field.name: str(field.type).replace("double", "float64") for field in table.schema}


def refuse_empty_cells(table: Any, *, but: tuple[str, ...] = ()) -> None:
    """Raise ValueError for a table with a missing value outside the columns in `but`."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        inner = sum(chunk.values.null_count for chunk in column.chunks) if str(column.type).startswith("list") else 0
        if inner or (column.null_count and name not in but):
            raise ValueError(f"has empty cells in column {name}; every row needs all of its numbers")


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
