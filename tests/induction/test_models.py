"""The simplified model against loops straight from its formula, its limit, and what the full model may see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_nb.checks import TOLERANCE
from icl_nb.induction.limit import generalized_induction_head
from icl_nb.induction.models import FullInductionTransformer, InductionTransformer
from icl_nb.induction.tasks import MarkovTask

EXACT = TOLERANCE[torch.float64]
seeds = st.integers(0, 2**31 - 1)


def spread(seed=0, **model):
    """A model in float64 whose every parameter matters."""
    model = InductionTransformer(**model).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (model.w, model.c):
            part.copy_(torch.randn(part.shape, generator=generator, dtype=torch.float64))
        model.a.fill_(2.0)
    return model


def tokens(batch=3, length=12, states=3, seed=0):
    return torch.randint(states, (batch, length), generator=torch.Generator().manual_seed(seed))


def slow(model, sequence):
    """One sequence, as the formula reads: one-hot tokens, zeros before the first."""
    states, window, length = model.n_states, model.window, len(sequence)
    x = [[float(sequence[t] == e) for e in range(states)] if t >= 0 else [0.0] * states for t in range(-window, length)]
    w = [[math.exp(v) / sum(math.exp(u) for u in row) for v in row] for row in model.w.tolist()]
    c2 = [c * c for c in model.c.tolist()]

    if model.windows is not None:
        for row, (first, last) in zip(w, model.windows, strict=True):
            kept = sum(row[first - 1 : last])
            row[:] = [p / kept if first <= m <= last else 0.0 for m, p in enumerate(row, 1)]

    def copy(h, position):
        past = [[w[h][m - 1] * part for part in x[position - m + window]] for m in range(1, window + 1)]
        v = [sum(column) for column in zip(*past, strict=True)]
        size = math.hypot(*v) if model.unit_copies else 1.0
        return [part / size if size else 0.0 for part in v]

    scores = []
    for position in range(length):
        score = 0.0
        for weight, subset in zip(c2, model.subsets, strict=True):
            product = 1.0
            for h in subset:
                product *= sum(p * q for p, q in zip(copy(h, position), copy(h, length), strict=True))
            score += weight * product
        scores.append(score / sum(c2) if model.normalise else score)
    weights = [math.exp(model.a.item() * score) for score in scores]
    return [sum(v * row[e] for v, row in zip(weights, x[window:], strict=True)) / sum(weights) for e in range(states)]


@settings(max_examples=25)
@given(
    seeds, st.integers(2, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(0, 8)
)
def test_model_is_its_formula(seed, states, window, heads, degree, normalise, more):
    model = spread(seed, n_states=states, window=window, heads=heads, degree=degree, normalise=normalise)
    sequences = tokens(2, window + more, states, seed)
    expected = torch.tensor([slow(model, sequence) for sequence in sequences.tolist()], dtype=torch.float64)
    assert (model(sequences) - expected).abs().max() < EXACT


@settings(max_examples=25)
@given(seeds, st.booleans(), st.data())
def test_variants_are_their_formula(seed, unit_copies, data):
    """Unit copies, the empty set among the subsets, and a window for each head."""
    first = st.integers(1, 4)
    windows = data.draw(st.none() | st.tuples(first, first).map(lambda pair: [tuple(sorted(pair)), (2, 3)]))
    subsets = [(), (0,), (0, 1)]
    model = spread(seed, heads=2, window=4, subsets=subsets, unit_copies=unit_copies, windows=windows)
    sequences = tokens(2, 9, 3, seed)
    expected = torch.tensor([slow(model, sequence) for sequence in sequences.tolist()], dtype=torch.float64)
    assert (model(sequences) - expected).abs().max() < EXACT
    model(sequences)[:, 0].sum().backward()
    assert all(part.grad.isfinite().all() for part in model.parameters())
    again = InductionTransformer(**model.config).double()  # the configuration holds the variants
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(sequences), model(sequences))


def test_copies_are_what_the_products_are_made_of():
    for unit_copies in (False, True):
        model, sequences = spread(3, unit_copies=unit_copies), tokens()
        v = model.copies(sequences)
        for subset, product in zip(model.subsets, model.products(sequences), strict=True):
            same = (v[:, :-1] * v[:, -1:]).sum(-1)[..., list(subset)].prod(-1)
            assert (product - same).abs().max() < EXACT
        length = v.norm(dim=-1)
        assert unit_copies == bool((length[:, 1:] - 1).abs().max() < EXACT) and not length[:, 0].any()


def test_the_empty_set_dilutes_the_others_and_where_c_starts():
    bare, diluted = (InductionTransformer(subsets=[*empty, (0,), (0, 1)]) for empty in ([], [()]))
    assert (diluted.similarity(tokens()) - (1 + 2 * bare.similarity(tokens())) / 3).abs().max() < 1e-6
    with torch.no_grad():
        diluted.c[0] = 9.0
    assert diluted.parents() == ()
    small = InductionTransformer(selector_start=0.01)
    assert torch.equal(small.c, torch.full((6,), 0.01)) and small.selection().sum().item() == pytest.approx(1)


def test_slow_reference_notices_a_change():
    model = spread(1)
    expected = torch.tensor(slow(model, tokens()[0].tolist()), dtype=torch.float64)
    with torch.no_grad():
        model.c[0] += 0.1
    assert (model(tokens())[0] - expected).abs().max() > 1e-4


@settings(max_examples=25)
@given(seeds)
def test_output_is_a_distribution_and_relabelling_commutes(seed):
    model, sequences = spread(seed), tokens(seed=seed)
    probs = model(sequences)
    assert (probs >= 0).all() and (probs.sum(-1) - 1).abs().max() < EXACT
    order = torch.randperm(3, generator=torch.Generator().manual_seed(seed))
    assert (model(order[sequences])[:, order] - probs).abs().max() < EXACT


def test_matches_computed_before_change_nothing():
    model, sequences = spread(), tokens()
    assert torch.equal(model(sequences, model.matches(sequences)), model(sequences))


def test_all_parameters_learn_and_gradients_are_right():
    model, sequences = spread(3), tokens(2, 8)

    def output(w, c, a):
        return torch.func.functional_call(model, {"w": w, "c": c, "a": a}, (sequences,))

    parts = [part.detach().clone().requires_grad_() for part in (model.w, model.c, model.a)]
    assert torch.autograd.gradcheck(output, parts)
    model(sequences)[:, 0].sum().backward()
    assert all(part.grad.abs().max() > 0 for part in model.parameters())


@pytest.mark.parametrize("sharpness", [2.0, 6.0])
@pytest.mark.parametrize("lags", [(1,), (1, 2), (2, 3)])
def test_hard_copying_is_the_generalised_induction_head(lags, sharpness):
    """Up to the first tokens, which lack a full history: no match to the model, and left out by the head."""
    model = InductionTransformer(
        subsets=[tuple(lag - 1 for lag in lags)], start=(1e4, 0.0), sharpness=sharpness
    ).double()
    sequences = MarkovTask(lags=lags).sample(50, seed=3).tokens
    first = max(lags)
    similarity = model.similarity(sequences)
    assert set(similarity.unique().tolist()) <= {0.0, 1.0} and not similarity[:, :first].any()
    weight = (sharpness * similarity[:, first:]).exp()
    ours = weight.new_zeros(50, 3).scatter_add(1, sequences[:, first:], weight) / weight.sum(-1, keepdim=True)
    theirs = torch.from_numpy(generalized_induction_head(sequences, lags, 3, sharpness=sharpness))
    assert (ours - theirs).abs().max() < EXACT
    share = (first / (weight.sum(-1) + first)).max()  # what the first tokens can weigh
    assert (model(sequences) - theirs).abs().max() <= share + EXACT


def test_selection_and_parents():
    model = InductionTransformer()
    assert model.subsets == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert (model.selection() - 1 / 6).abs().max() < 1e-6
    with torch.no_grad():
        model.c[4] = -9.0
    assert model.parents() == (1, 3)
    flat = InductionTransformer(normalise=False)
    assert torch.equal(flat.selection(), flat.c**2)


def test_scale_of_c_is_idle_where_it_is_normalised():
    for normalise in (True, False):
        model = spread(5, normalise=normalise)
        before = model(tokens())
        with torch.no_grad():
            model.c.mul_(3.0)
        assert ((model(tokens()) - before).abs().max() < EXACT) == normalise


def test_a_token_beyond_the_window_is_not_seen():
    model = InductionTransformer(window=2, heads=2, sharpness=5.0).double()
    sequences = tokens(length=20)
    changed = sequences.clone()
    changed[:, -3] = (changed[:, -3] + 1) % 3  # lag 3 of the next token
    assert torch.equal(model.matches(sequences)[..., :17], model.matches(changed)[..., :17])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_states": 1}, "n_states"),
        ({"window": 0}, "window"),
        ({"heads": 0}, "heads"),
        ({"degree": 0}, "degree"),
        ({"seed": -1}, "seed"),
        ({"start": (1.0,)}, "start"),
        ({"noise": math.inf}, "noise"),
        ({"sharpness": math.nan}, "sharpness"),
        ({"subsets": []}, "subsets"),
        ({"subsets": [()]}, "subsets"),
        ({"subsets": [(1, 0)]}, "subsets"),
        ({"subsets": [(0, 3)]}, "subsets"),
        ({"selector_start": 0.0}, "selector_start"),
        ({"windows": [(1, 3)]}, "windows"),
        ({"windows": [(1, 3), (1, 4), (1, 3)]}, "windows"),
        ({"windows": [(1, 3), (3, 2), (1, 3)]}, "windows"),
        ({"windows": [(0, 3), (1, 3), (1, 3)]}, "windows"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        InductionTransformer(**arguments)


def test_bad_tokens():
    model = InductionTransformer()
    for bad in (tokens().float(), tokens()[0], tokens() + 1, tokens(length=2), torch.zeros(0, 5, dtype=torch.int64)):
        with pytest.raises(ValueError, match="token"):
            model(bad)
    with torch.no_grad():
        model.a.fill_(math.inf)
    with pytest.raises(ValueError, match="not finite"):
        model(tokens())


# The full model


def full(**arguments):
    return FullInductionTransformer(**{"width": 12} | arguments).double()


def test_full_model_gives_distributions_at_every_length():
    model = full()
    for length in (1, 5, 30):
        probs = model(tokens(length=length))
        assert probs.shape == (3, 3) and (probs.sum(-1) - 1).abs().max() < EXACT


def test_full_model_is_causal():
    model, sequences = full(), tokens(length=15)
    with torch.no_grad():
        whole = model.log_probabilities(sequences)
        for length in (1, 7, 14):
            assert (model.log_probabilities(sequences[:, :length]) - whole[:, :length]).abs().max() < EXACT
        z, first = model.stream(sequences)
        second = model.matching(z)
    assert not first.triu(1).any() and not second.triu(1).any()
    assert (first.sum(-1) - 1).abs().max() < EXACT and (second.sum(-1) - 1).abs().max() < EXACT


def test_position_enters_by_the_bias_alone():
    model, sequences = full(), tokens(length=10)
    with torch.no_grad():
        model.bias.zero_()
    order = [*np.random.default_rng(0).permutation(9), 9]  # without it the last token sees a set
    with torch.no_grad():
        first = model.stream(sequences)[1][:, :, -1]
        again = model.stream(sequences[:, order])[1][:, :, -1]
        assert (first[..., order] - again).abs().max() < EXACT
        model.bias[0, 1] = 3.0
        assert (model.stream(sequences)[1][:, 0, -1] - first[:, 0]).abs().max() > 0.01


def test_what_is_switched_off_adds_nothing_and_the_rest_stays():
    model, sequences = full(), tokens(length=10)
    before = {name: part.clone() for name, part in model.state_dict().items()}
    with torch.no_grad():
        embedded = model.embedding(sequences)
        bare = model.without(heads=(0, 1, 2), feed_forward=True).stream(sequences)[0]
        assert (bare - embedded - model.first["out"].bias).abs().max() < EXACT  # no head, no block: a constant is left
        whole = model.without().stream(sequences)[0]
        assert torch.equal(whole, model.stream(sequences)[0])
        no_block = model.without(feed_forward=True)
        moves = [no_block.without(heads=(h,)).stream(sequences)[0] - no_block.stream(sequences)[0] for h in range(3)]
        assert (sum(moves) - (bare - no_block.stream(sequences)[0])).abs().max() < EXACT  # what heads bring adds up
        assert not model.without(offsets=True).bias.any() and all(move.abs().max() > 0.01 for move in moves)
    assert all(torch.equal(part, before[name]) for name, part in model.state_dict().items())
    with pytest.raises(ValueError, match=r"no \[3\] among the heads 0\.\.2"):
        model.without(heads=(0, 3))


def test_seed_decides_the_full_model_and_torch_state_is_left_alone():
    state = torch.get_rng_state()
    same, other = full(seed=1), full(seed=2)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(full(seed=1).bias, same.bias) and not torch.equal(same.bias, other.bias)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"width": 10}, "divide"), ({"heads": 0}, "heads"), ({"window": 0}, "window"), ({"n_states": 1}, "n_states")],
)
def test_bad_arguments_of_the_full_model(arguments, message):
    with pytest.raises(ValueError, match=message):
        full(**arguments)
