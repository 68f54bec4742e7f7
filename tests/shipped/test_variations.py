"""The short runs of Part II: do they repeat, is what is stored complete, is bad input refused?"""

import pytest

from icl_nb.shipped.variations import CHANGES, SEEDS, SETTINGS, TABLES, asked, main, variations, vary

TINY = {"n_sequences": 500, "steps": 3}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("icl_nb.shipped.variations.EVALUATION", {"n_sequences": 100, "seed": 1})


def test_what_is_stored_is_what_is_asked_for():
    stored = [row for table in TABLES for row in variations(table)]
    assert [(row["table"], row["setting"], row["change"], row["seed"]) for row in stored] == asked()
    assert len(variations("selection")) == len(SETTINGS) * 2 * len(SEEDS)
    for row in stored:
        assert len(row["p"]) == len(row["lags"]) and row["loss_se"] > 0 and 0 < min(row["own"]) <= max(row["own"]) <= 1
        normalised = "no normalisation" not in row["change"]
        assert not normalised or sum(row["p"]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("change", sorted(CHANGES["ablations"]) + sorted(CHANGES["public code"]))
def test_every_change_can_be_trained(change):
    table = "ablations" if change in CHANGES["ablations"] else "public code"
    row = vary(table, "three lags, parents 1, 2", change, **TINY)
    assert row["change"] == change and row["loss"] > 0


def test_changes_change_what_they_say():
    rows = {change: vary("ablations", "three lags, parents 1, 2", change, **TINY) for change in CHANGES["ablations"]}
    assert [len(rows[name]["p"]) for name in ("complete", "no products", "no selector: all heads at once")] == [6, 3, 1]
    assert len(set(rows["no selector: equal weights"]["p"])) == 1 < len(set(rows["complete"]["p"]))
    assert rows["heads at rest"]["own"] == [0.9009] * 3 != rows["complete"]["own"]
    assert sum(rows["c from 0.01, no normalisation"]["p"]) < 0.01


def test_stages_and_seeds():
    staged, joint = (vary("selection", "reference", how, **TINY) for how in ("staged", "joint"))
    assert staged["a"] == 0.01 < joint["a"] and staged["own"] == [0.9009] * 3
    assert vary("selection", "reference", "joint", **TINY) == joint
    assert vary("selection", "reference", "joint", 1, **TINY)["p"] != joint["p"]


@pytest.mark.parametrize(
    "asking", [("nothing", "reference", "joint"), ("selection", "x", "joint"), ("selection", "reference", "complete")]
)
def test_bad_input(asking):
    with pytest.raises(ValueError, match="there is no"):
        vary(*asking)
    with pytest.raises(ValueError, match="seed"):
        vary("selection", "reference", "joint", -1)
    with pytest.raises(ValueError, match="table"):
        variations("nothing")


def test_what_is_stored_is_not_made_again(monkeypatch, tmp_path):
    from icl_nb.shipped import variations as module

    path, made = tmp_path / "rows.json", []

    def vary_(table, setting, change, seed):
        made.append(change)
        return {"table": table, "setting": setting, "change": change, "seed": seed}

    runs = [("selection", "reference", "joint", 0), ("public code", "three lags, parents 1, 2", "unit copies", 0)]
    for name, value in (("STORED", path), ("vary", vary_), ("asked", lambda: runs)):
        monkeypatch.setattr(module, name, value)
    main([])
    main([])
    assert made == ["joint", "unit copies"]
    main(["selection"])
    assert made == ["joint", "unit copies", "joint"] and len(path.read_text().splitlines()) == 4
