"""Any CSV file as UTF-8 text: gzip is unpacked, other encodings are converted.

A byte order mark decides; without one it is UTF-8 if all bytes are valid, else
Windows-1252, which contains Latin-1's printable characters. Dates and prices are ASCII
in each of them; a wrong guess can only garble names.
"""

import codecs
import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from stock_rnn.errors import UserError

# Far above any table of prices, and low enough to fail before memory or disk does.
MAX_BYTES = 2 * 1024**3
MAX_UNPACKED_BYTES = 512 * 1024**2
_BLOCK_BYTES = 1024**2

_GZIP = b"\x1f\x8b"
# What a spreadsheet program saves when it is not asked for CSV: xlsx and ods, xls.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_LE = codecs.BOM_UTF32_LE
_LINE_BREAKS_AND_TABS = b"\t\n\v\f\r"
# Control characters, and the bytes to which Windows-1252 gives no character.
_NO_TEXT = bytes({*range(32), 0x7F, 0x81, 0x8D, 0x8F, 0x90, 0x9D} - {*_LINE_BREAKS_AND_TABS})


@dataclass(frozen=True)
class Text:
    """An open file of UTF-8 text.

    Attributes:
        file: At the first byte after the byte order mark.
        notes: What was done to get there, e.g. "unpacked by gzip", for the log.
    """

    file: BinaryIO
    notes: tuple[str, ...]


@contextmanager
def open_text(path: str | os.PathLike[str], name: str) -> Iterator[Text]:
    """Open a regular file as UTF-8 text; conversions go to a temporary file.

    Args:
        path: The file, at most `MAX_BYTES`, and `MAX_UNPACKED_BYTES` once unpacked.
        name: What error messages call it.

    Raises:
        UserError: It cannot be read, is no regular file, empty, too large, a workbook,
            damaged, or no text.
    """
    notes = []
    with ExitStack() as stack:
        file = stack.enter_context(_open(path, name))
        start = _start(file)
        if start.startswith(_GZIP):
            file = stack.enter_context(_unpacked(file, name))
            start = _start(file)
            notes.append("unpacked by gzip")
        if start.startswith(_WORKBOOKS):
            raise UserError(f"{name} is a workbook or an archive; save its table as CSV")
        if start.startswith(_UTF16) and not start.startswith(_UTF32_LE):
            file = stack.enter_context(_converted(file, "utf-16", name))
            notes.append("encoding UTF-16")
        elif start.startswith(codecs.BOM_UTF8):
            file.seek(len(codecs.BOM_UTF8))
        elif (line := _line_that_is_not_utf8(file)) is not None:
            _check_windows_1252(file, name, line)
            file = stack.enter_context(_converted(file, "windows-1252", name))
            notes.append("encoding Windows-1252")
        yield Text(file, tuple(notes))


def _open(path: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        status = os.stat(path)
        if not S_ISREG(status.st_mode):
            kind = "a folder" if S_ISDIR(status.st_mode) else "not a regular file"
            raise UserError(f"{name} is {kind}; name a CSV file")
        if status.st_size == 0:
            raise UserError(f"{name} is empty; name a CSV file with a header and prices")
        if status.st_size > MAX_BYTES:
            raise UserError(
                f"{name} is too large: at most {MAX_BYTES:,} bytes are read; keep only the "
                f"date and close columns, or split it. Received: {status.st_size:,} bytes"
            )
        return open(path, "rb")
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the path.
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{name} cannot be read: {reason}; name a CSV file") from error


def _start(file: BinaryIO) -> bytes:
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    return start


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        yield block


@contextmanager
def _unpacked(packed: BinaryIO, name: str) -> Iterator[BinaryIO]:
    size = 0
    with _temporary_file(name) as plain, gzip.GzipFile(fileobj=packed) as stream:
        try:
            while block := stream.read(_BLOCK_BYTES):
                size += len(block)
                if size > MAX_UNPACKED_BYTES:
                    raise UserError(
                        f"{name} is too large: at most {MAX_UNPACKED_BYTES:,} bytes are unpacked; "
                        "keep only the date and close columns, or unpack it first"
                    )
                _write(plain, block, name)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{name} is a damaged gzip file; fetch it again") from error
        plain.seek(0)
        yield plain


@contextmanager
def _converted(file: BinaryIO, encoding: str, name: str) -> Iterator[BinaryIO]:
    decoder = codecs.getincrementaldecoder(encoding)()
    with _temporary_file(name) as plain:
        try:
            for block in _blocks(file):
                _write(plain, decoder.decode(block).encode(), name)
            _write(plain, decoder.decode(b"", final=True).encode(), name)
        except UnicodeError as error:
            raise UserError(
                f"{name}, line {_lines_in(plain)}: not {encoding.upper()} text; "
                "save it as CSV in UTF-8"
            ) from error
        plain.seek(0)
        yield plain


@contextmanager
def _temporary_file(name: str) -> Iterator[BinaryIO]:
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115, closed below
    except OSError as error:
        raise _no_room(name, error) from error
    with file:
        yield file


def _write(file: BinaryIO, block: bytes, name: str) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise _no_room(name, error) from error


def _no_room(name: str, error: OSError) -> UserError:
    return UserError(
        f"{name} cannot be converted to UTF-8 in {tempfile.gettempdir()}: "
        f"{error.strerror or error}; make room there, or save it as CSV in UTF-8"
    )


def _lines_in(file: BinaryIO) -> int:
    return 1 + sum(block.count(b"\n") for block in _blocks(file))


def _line_that_is_not_utf8(file: BinaryIO) -> int | None:
    """Return the number of the first line with bytes that are not UTF-8, or None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, block = 1, b""
    try:
        for block in _blocks(file):
            # State: bytes of a character that the last block began.
            if not block.isascii() or decoder.getstate()[0]:
                decoder.decode(block)
            line += block.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        # Where an older block began the character, the position counts from there.
        return line + block.count(b"\n", 0, error.start)
    finally:
        file.seek(0)
    return None


def _check_windows_1252(file: BinaryIO, name: str, line: int) -> None:
    for block in _blocks(file):
        if len(block.translate(None, _NO_TEXT)) < len(block):
            raise UserError(
                f"{name}, line {line}: not text in UTF-8, UTF-16 with its mark, or "
                "Windows-1252; save it as CSV in UTF-8"
            )
