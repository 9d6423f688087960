"""What a grid may say is checked before anything is trained."""

import pytest

from most.errors import MostError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"index": {"backbone": "moe", "about": ""}}}, "at least two"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"workers": 0}, "at least 1"),
        ({"losses": {}, "claims": [], "open_question": None}, "nothing would be measured"),
        (
            {"variants": {n: {"backbone": b, "about": ""} for n, b in (("a", "moe"), ("b", "meo"))}},
            "did you mean 'moe'",
        ),
        ({"convert": {"new_row_noice": 1.0}}, "did you mean 'new_row_noise'"),
        ({"convert": {"seed": 3}}, "set by the grid"),
        ({"train": {"steps": 3, "batch_size": 5, "learning_rate": 1e-3, "output": "x"}}, "set by the grid"),
        (
            {"claims": [{"says": "", "source": "", "better": "idex", "worse": "plain", "measures": ["hear"]}]},
            "did you mean 'index'",
        ),
        (
            {"claims": [{"says": "", "source": "", "better": "index", "worse": "plain", "measures": ["here"]}]},
            "did you mean 'hear'",
        ),
        ({"backbones": {"moe": {}}}, "path of a checkpoint or `init`"),
    ],
)  # fmt: skip
def test_mistakes(grid, changes, message):
    with pytest.raises(MostError, match=message):
        grid(**changes)
