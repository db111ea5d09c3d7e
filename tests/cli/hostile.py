"""Words and checks that the tests of hostile input share."""

import hashlib

RESUME = ["train", "--resume", "small", "--max-epoch", "4"]
EVALUATE = ["evaluate", "small"]


def fingerprint(folder):
    """Everything below a folder by content, but for locks, which hold nothing."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock"
    }


def only_error(code, words, lines):
    """The one line on stderr that reports an error; the prices may be described before."""
    assert code == 2
    assert [line for line in lines[:-1] if not line.startswith("^")] == []
    assert lines[-1].startswith(f"stock-rnn {words[0]}: error: ")
    return lines[-1]
