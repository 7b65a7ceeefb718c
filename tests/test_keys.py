"""Volume ids and hashes."""

import pytest

from knee.errors import InputError
from knee.keys import canonical_json, content_hash, parse_volume_id
from knee.questions import parse_question_ids


def test_sequence_defaults_to_dess_and_the_id_round_trips():
    key = parse_volume_id("9001104/V00/right")
    assert key.volume_id == "9001104/V00/right/dess"
    assert parse_volume_id(key.volume_id) == key
    assert not key.is_follow_up


@pytest.mark.parametrize(
    "text", ["", "a/b", "p/V0/right", "p/V00/both", "p p/V00/left", "p/V00/left/A B", "a/b/c/d/e"]
)
def test_illegal_ids_are_refused_with_their_text(text: str):
    with pytest.raises(InputError) as caught:
        parse_volume_id(text)
    assert repr(text) in str(caught.value)


def test_hashes_name_their_algorithm_and_ignore_the_order_of_keys():
    assert content_hash("") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert canonical_json({"b": 1, "a": [2]}) == canonical_json({"a": [2], "b": 1})


def test_question_selections():
    assert parse_question_ids("1-3, 44,2") == (1, 2, 3, 44)
    for text in ("0", "70", "3-1", "x", "1-", ""):
        with pytest.raises(InputError):
            parse_question_ids(text)
