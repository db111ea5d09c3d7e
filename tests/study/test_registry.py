"""The registry of claims: its files, its hashes, and which rules are younger than a run."""

import copy
import json

import pytest

from stock_rnn.study import registry
from stock_rnn.study.judge.measures import VALUES

CLAIMS = registry.load()["claims"]


def test_the_file_is_the_one_that_was_registered():
    # It never changes: another rule is another version. Records name this hash.
    assert registry.hash_of(registry.load(2)) == "cf41ee559368258c"
    assert registry.name()["version"] == 2
    assert registry.name()["rules"] == "cf41ee559368258c"


def test_the_hash_is_of_the_content_and_not_of_its_layout():
    content = registry.load()
    again = json.loads(json.dumps(content, indent=8, sort_keys=True))
    assert registry.hash_of(again) == registry.hash_of(content)
    again["claims"][0]["region"][0] += 1e-9
    assert registry.hash_of(again) != registry.hash_of(content)


def test_every_claim_has_the_reports_words_a_known_statistic_and_a_region():
    assert len({claim["id"] for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim["says"]
        assert claim["section"]
        assert claim["value"] in VALUES
        assert claim["scale"] in ("log", "linear", "share")
        assert claim["losses"] in ("", "first", "all")
        low, high = claim["region"]
        assert low is None or high is None or low < high
    # Two rows from one statistic would answer one question twice.
    same = [json.dumps([c["value"], c["options"], c["runs"]], sort_keys=True) for c in CLAIMS]
    assert len(set(same)) == len(same)


def test_a_statement_without_a_rule_has_a_reason():
    for statement in registry.load()["no_rule"]:
        assert statement["section"]
        assert statement["says"]
        assert statement["reason"]


def test_a_rule_is_younger_than_a_run_whose_registry_does_not_have_it():
    claim = CLAIMS[0]
    assert not registry.is_younger(claim, registry.name())
    changed = {**copy.deepcopy(claim), "region": [1.0, None]}
    assert registry.is_younger(changed, registry.name())
    # Runs of another file under the same version, of no registry, and of one to come.
    assert registry.is_younger(claim, {**registry.name(), "rules": "0" * 16})
    assert registry.is_younger(claim, {})
    assert registry.is_younger(claim, {**registry.name(), "version": 99})


def test_a_rule_of_a_part_is_known_to_runs_that_name_the_parts_registry(monkeypatch):
    of_part = {"id": "faster", "region": [1.0, None]}
    other = {"claims": [of_part]}
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda v=2: other if v == "part-1" else load(v))
    monkeypatch.setattr(registry, "_files", lambda: {"2.json", "part-1.json"})
    monkeypatch.setattr(registry, "PARTS", ("part-1",))
    assert not registry.is_younger(of_part, registry.name())
    assert not registry.is_younger(CLAIMS[0], registry.name())
    assert registry.is_younger({**of_part, "region": [2.0, None]}, registry.name())
    changed = {**registry.name(), "parts": {"part-1": "0" * 16}}
    assert registry.is_younger(of_part, changed)
    assert registry.is_younger(of_part, {**registry.name(), "parts": {}})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"""One."""\nx = 1  # a\n', '"""Two."""\nx = 1\n', True),
        ("def f():\n    '''A.'''\n    return 1\n", "def f():\n    return 1\n", True),
        ("x = 1\n", "x = 2\n", False),
    ],
)
def test_words_are_no_part_of_the_codes_hash(one, other, same):
    assert (registry._without_words(one) == registry._without_words(other)) == same
