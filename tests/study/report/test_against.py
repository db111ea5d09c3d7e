"""A study's verdicts held against another's."""

import json

import pytest

from stock_rnn.errors import UserError
from stock_rnn.study.judge.variants import PRIMARY
from stock_rnn.study.report.against import compare


def written(path, *, rules="a", **verdicts):
    """A file with these verdicts: claim -> (verdict, value)."""
    listed = [
        {"claim": name, "verdict": verdict, "value": value, "deciding_interval": [*interval]}
        for name, (verdict, value, *interval) in verdicts.items()
    ]
    content = {"registry": {"rules": rules}, "variants": {str(PRIMARY): listed}}
    path.write_text(json.dumps(content))
    return path


def test_claims_that_agree_are_counted_and_others_are_listed(tmp_path):
    ours = written(
        tmp_path / "a.json",
        same=("reproduced", 1.0, 0.5, 2.0),
        other=("undecided", 1.0, 0.5, 2.0),
        far=("reproduced", 3.0, 0.5, 2.0),
        unknown=("undecided", None, 0.5, 2.0),
        narrow=("reproduced", 1.0, 0.9, 1.1),
        mine=("reproduced", 1.0, 0.5, 2.0),
    )
    theirs = written(
        tmp_path / "b.json",
        same=("reproduced", 1.9, 0.5, 2.0),
        other=("reproduced", 1.0, 0.5, 2.0),
        far=("reproduced", 1.0, 0.5, 2.0),
        unknown=("undecided", 1.0, 0.5, 2.0),
        narrow=("reproduced", 1.5, 0.5, 2.0),
    )
    *lines, count = compare(ours, theirs)
    assert [line.split()[0] for line in lines] == ["other", "far", "narrow"]
    assert lines[0].endswith("undecided (1.00); there reproduced (1.00)")
    assert count == f"2 of 5 claims agree with {theirs}"


def test_other_rules_are_told(tmp_path):
    ours = written(tmp_path / "a.json", same=("reproduced", 1.0, 0.5, 2.0))
    theirs = written(tmp_path / "b.json", rules="b", same=("reproduced", 1.0, 0.5, 2.0))
    assert compare(ours, theirs)[0] == "the two studies are judged by different rules"
    assert len(compare(ours, ours)) == 1


@pytest.mark.parametrize("text", [None, "", "{}", '{"variants": {}}'])
def test_a_file_that_is_no_verdicts_is_named(text, tmp_path):
    ours, theirs = written(tmp_path / "a.json"), tmp_path / "verdicts.json"
    if text is not None:
        theirs.write_text(text)
    with pytest.raises(UserError, match=r"verdicts\.json"):
        compare(ours, theirs)


def test_a_part_with_procedures_of_its_own_is_compared_on_each(tmp_path):
    for name, values in (("a.json", (1.0, 1.0)), ("b.json", (1.0, 3.0))):
        variants = {
            f"{procedure}: more words": [
                {
                    "claim": "faster",
                    "verdict": "reproduced",
                    "value": value,
                    "deciding_interval": [0.5, 2.0],
                }
            ]
            for procedure, value in zip(("tuned", "one-shot"), values, strict=True)
        }
        content = {"registry": {"rules": "a"}, "variants": variants}
        (tmp_path / name).write_text(json.dumps(content))
    line, count = compare(tmp_path / "a.json", tmp_path / "b.json")
    assert line.startswith("faster, one-shot")
    assert count.startswith("1 of 2 claims agree")
