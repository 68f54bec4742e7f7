"""Training against Adam written out, the symmetries it imposes, and that a seed fixes every bit of the result."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from icl_nb.checks import TOLERANCE
from icl_nb.descent import descend
from icl_nb.evaluation.scores import evaluate
from icl_nb.models import attention as models
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.training import SYMMETRIES, History, train
from icl_nb.symmetry import off_commutant
from icl_nb.tasks.families import ClusterTask, CurvedTask, HeavyTask
from icl_nb.tasks.linear import LinearTask, MixedTask

TASK = LinearTask(n_points=8, n_features=3, n_classes=2)


def build(cls=DenseTransformer, depth=2, heads=1, dtype=torch.float64, seed=0):
    return cls(3, 2, depth, heads, seed=seed).to(dtype)


def run(model, task=TASK, **options):
    return train(model, task, **({"steps": 4, "batch_size": 6, "n_queries": 3, "progress": False} | options))


def weights(model):
    return torch.cat([part.detach().flatten() for part in model.parameters()])


@pytest.fixture
def batches(monkeypatch):
    """The batches that training draws, as it draws them."""
    drawn, sample = [], LinearTask.sample

    def spy(self, *args, **options):
        drawn.append(sample(self, *args, **options))
        return drawn[-1]

    monkeypatch.setattr(LinearTask, "sample", spy)
    return drawn


# One step after another


def one_cycle(steps, peak, low, start, end):
    """From start to peak by a half cosine over the first 30 %, then on to the end; momentum the other way."""
    up, rates, momenta = 0.3 * (steps + 1) - 1, [], []
    for step in range(steps):
        rising = step <= up
        share = step / up if rising else (step - up) / (steps - up)
        bend = (1 + math.cos(math.pi * share)) / 2
        rates.append(peak + (start - peak) * bend if rising else end + (peak - end) * bend)
        momenta.append(low + (0.95 - low) * bend if rising else 0.95 + (low - 0.95) * bend)
    return rates, momenta


@pytest.mark.parametrize("cls", [DenseTransformer, EquivariantTransformer])
def test_training_against_adam_by_hand(cls, batches):
    steps, peak = 12, 0.03
    model, slow = build(cls), build(cls)
    history = run(model, steps=steps, learning_rate=peak)
    rates, momenta = one_cycle(steps, peak, low=0.85, start=peak / 25, end=peak / 25e4)
    first = [torch.zeros_like(part) for part in slow.parameters()]
    second = [torch.zeros_like(part) for part in slow.parameters()]
    for step, batch in enumerate(batches[:steps]):
        slow.zero_grad()
        logits = slow(batch.x, batch.context_y).log_softmax(-1)
        loss = -sum(logits[b, q, batch.query_y[b, q]] for b in range(6) for q in range(3)) / 18
        loss.backward()
        size = torch.sqrt(sum((part.grad**2).sum() for part in slow.parameters()))
        with torch.no_grad():
            for part, mean, square in zip(slow.parameters(), first, second, strict=True):
                gradient = part.grad * min(1, 1 / (size.item() + 1e-6))
                mean.mul_(momenta[step]).add_((1 - momenta[step]) * gradient)
                square.mul_(0.999).add_(0.001 * gradient**2)
                corrected = mean / (1 - momenta[step] ** (step + 1)), square / (1 - 0.999 ** (step + 1))
                part -= rates[step] * corrected[0] / (corrected[1].sqrt() + 1e-8)
        assert history.loss[step] == pytest.approx(loss.item(), rel=1e-7)
        assert history.accuracy[step] == (logits.argmax(-1) == batch.query_y).double().mean().item()
    assert history.learning_rate == pytest.approx(rates, rel=1e-12)
    # Adam divides by the size of the gradient, so that rounding shows where a coordinate is silent and has none.
    assert torch.allclose(weights(model), weights(slow), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100])
def test_the_rate_goes_up_for_three_tenths_and_then_down_to_nothing(steps):
    rates = np.array(run(build(depth=1), steps=steps, batch_size=1, learning_rate=0.01).learning_rate)
    assert (rates > 0).all() and rates.max() <= 0.01 * (1 + 1e-9)
    if steps >= 10:
        top = int(rates.argmax())
        assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
        assert abs(top - 0.3 * steps) <= 1.5
    if steps == 100:
        assert rates[0] == pytest.approx(0.01 / 25) and rates.max() > 0.0099 and rates[-1] < 1e-5


def test_history_has_an_entry_a_step():
    history = run(build(), steps=7)
    assert isinstance(history, History)
    assert len(history.loss) == len(history.accuracy) == len(history.learning_rate) == 7
    assert all(math.isfinite(loss) and loss > 0 for loss in history.loss)
    assert all(0 <= accuracy <= 1 for accuracy in history.accuracy) and history.seconds > 0
    assert all(isinstance(value, float) for value in (history.loss[0], history.accuracy[0], history.learning_rate[0]))


def test_the_callback_sees_every_step():
    model, seen = build(), []
    run(model, steps=3, on_step=lambda step, trained: seen.append((step, trained is model, weights(trained).clone())))
    assert [entry[:2] for entry in seen] == [(step, True) for step in range(4)]
    assert torch.equal(seen[0][2], weights(build())) and torch.equal(seen[3][2], weights(model))
    assert not any(torch.equal(a[2], b[2]) for a, b in itertools.pairwise(seen))


def test_watching_changes_nothing():
    watched, alone = build(), build()
    run(watched, on_step=lambda step, model: model.weights())
    run(alone)
    assert torch.equal(weights(watched), weights(alone))


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_the_loss_falls(symmetry):
    """60 steps of 64 x 8 answers: from chance (0.69) to well below."""
    history = run(build(dtype=torch.float32), steps=60, batch_size=64, n_queries=8, symmetry=symmetry)
    assert np.mean(history.loss[-10:]) < np.mean(history.loss[:10]) - 0.1
    assert np.mean(history.accuracy[-10:]) > np.mean(history.accuracy[:10])


def test_training_improves_what_evaluation_measures():
    model = build(EquivariantTransformer, dtype=torch.float32)
    before = evaluate(model, TASK, n_tasks=300)
    run(model, steps=60, batch_size=64, n_queries=8)
    after = evaluate(model, TASK, n_tasks=300)
    assert after.cross_entropy < before.cross_entropy - 4 * (before.cross_entropy_se + after.cross_entropy_se)


# Seeds


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_a_seed_fixes_every_bit(symmetry, dtype):
    once, again, other = (build(dtype=dtype) for _ in range(3))
    histories = [run(model, seed=seed, symmetry=symmetry) for model, seed in ((once, 3), (again, 3), (other, 4))]
    assert torch.equal(weights(once), weights(again)) and histories[0].loss == histories[1].loss
    assert not torch.equal(weights(once), weights(other)) and histories[0].loss != histories[2].loss


def test_training_leaves_the_global_generator_alone_and_ignores_it():
    once, again = build(), build()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    run(once, symmetry="injection")
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    run(again, symmetry="injection")
    assert torch.equal(weights(once), weights(again))


def test_every_batch_is_fresh(batches):
    run(build(), steps=5)
    points = torch.cat([batch.x.flatten() for batch in batches])
    assert len(batches) == 5 and len(points.unique()) == len(points)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_no_training_stream_is_the_stream_of_an_evaluation(seed, batches):
    run(build(), steps=1, seed=seed)
    trained_on = batches[0]
    for other in {0, 1, seed}:
        assert not torch.equal(TASK.sample(6, seed=other, n_queries=3, dtype=torch.float64).w, trained_on.w)


# Symmetries


def test_projection_holds_after_every_step(dtype, tolerance):
    residual = []
    model = build(dtype=dtype, depth=3, heads=2)
    run(
        model,
        steps=5,
        symmetry="projection",
        on_step=lambda _, m: residual.append(max(off_commutant(part, 3, 2).max().item() for part in (m.m, m.v))),
    )
    assert residual[0] > 0.01 and max(residual[1:]) <= tolerance


def test_plain_training_leaves_the_commutant():
    """The control: started on it, dense weights do not stay."""
    model = build().projected()
    run(model, steps=5)
    assert off_commutant(model.m.detach(), 3, 2).min() > 1e-3


def test_projection_trains_on_the_commutant_as_a_dense_model_projected_each_time():
    """The gradient of a projected step, projected, is the gradient along the commutant: one step from one start."""
    model = build().projected()
    alone = copy.deepcopy(model)
    run(model, steps=1, symmetry="projection")
    run(alone, steps=1)
    alone = alone.projected()
    assert torch.allclose(weights(model), weights(alone), atol=1e-14)


def test_injection_draws_an_element_for_each_layer_and_step(monkeypatch):
    orders, conjugate = [], models.conjugate
    monkeypatch.setattr(models, "conjugate", lambda part, order: orders.append(order) or conjugate(part, order))
    run(build(depth=3), steps=40, symmetry="injection")
    assert len(orders) == 80
    assert all(torch.equal(orders[i], orders[i + 1]) for i in range(0, 80, 2))  # M and V move together
    elements = torch.cat(orders[::2]).tolist()
    assert all(sorted(e[:3]) == [0, 1, 2] and sorted(e[3:]) == [3, 4] for e in elements)
    assert len({tuple(e) for e in elements}) == 12  # 120 draws of 12 elements
    layers = torch.stack(orders[::2])
    assert not torch.equal(layers[:, 0], layers[:, 1]) and not torch.equal(layers[0], layers[1])


def test_injection_changes_nothing_for_weights_of_the_commutant():
    model = build().projected()
    plain, injected = copy.deepcopy(model), copy.deepcopy(model)
    losses = [run(m, steps=1, symmetry=s).loss for m, s in ((plain, None), (injected, "injection"))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_injection_trains_the_loss_that_averages_over_the_group():
    """With weights off the commutant the injected loss differs from the plain one, step by step and in its weights."""
    plain, injected = build(), build()
    run(plain)
    run(injected, symmetry="injection")
    assert not torch.allclose(weights(plain), weights(injected), atol=1e-6)


def test_symmetric_training_ends_where_it_should(dtype):
    for symmetry in SYMMETRIES:
        model = build(dtype=dtype)
        run(model, symmetry=symmetry)
        residual = max(off_commutant(part.detach(), 3, 2).max() for part in (model.m, model.v))
        assert (residual <= TOLERANCE[dtype]) == (symmetry == "projection")


# Other tasks and models


@pytest.mark.parametrize(
    "task",
    [
        LinearTask(8, 3, 2, noise=0.2),
        LinearTask(8, 3, 2, shift=1.0),
        LinearTask(8, 3, 2, unlabelled=0.5),
        LinearTask(1, 3, 2),
    ],
    ids=str,
)
def test_other_tasks_train(task):
    history = run(build(EquivariantTransformer), task)
    assert all(math.isfinite(loss) for loss in history.loss)


def test_four_scalars_train():
    model = EquivariantTransformer(3, 2, 2, 1, 4)
    before = weights(model).clone()
    run(model)
    assert not torch.equal(before, weights(model)) and not model.coordinates()[0][..., 1].any()


def test_silence(capsys):
    run(build())
    assert capsys.readouterr() == ("", "")


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0; .*at least 1"),
        ({"steps": -1}, "steps=-1"),
        ({"steps": 3.0}, r"steps=3\.0"),
        ({"steps": True}, "steps=True"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"n_queries": 0}, "n_queries=0"),
        ({"n_queries": None}, "n_queries=None"),
        ({"seed": -1}, "seed=-1; .*from 0 to"),
        ({"seed": 2**31}, "seed=2147483648"),
        ({"seed": 2**70}, "seed="),
        ({"seed": 0.5}, "seed=0.5"),
        ({"seed": True}, "seed=True"),
        ({"seed": None}, "seed=None"),
        ({"learning_rate": 0}, "learning_rate=0; .*positive and finite"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"learning_rate": math.inf}, "learning_rate=inf"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1'"),
        ({"learning_rate": None}, "learning_rate=None"),
        ({"symmetry": "reflection"}, "symmetry='reflection'; .*'injection', 'projection'"),
        ({"symmetry": True}, "symmetry=True"),
        ({"task": LinearTask(8, 4, 2)}, "the task has d=4, K=2; the model reads d=3, K=2"),
        ({"task": LinearTask(8, 3, 3)}, "the task has d=3, K=3"),
    ],
    ids=str,
)
def test_training_refuses(options, message):
    model = build()
    before = weights(model).clone()
    with pytest.raises(ValueError, match=message):
        run(model, **options)
    assert torch.equal(before, weights(model))


@pytest.mark.parametrize("symmetry", ["injection", "projection"])
def test_symmetry_is_for_dense_weights(symmetry):
    with pytest.raises(ValueError, match="symmetry acts on dense weights; EquivariantTransformer"):
        run(build(EquivariantTransformer), symmetry=symmetry)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"torch\.float16"):
        run(build(dtype=torch.float16))


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_divergence_is_an_error_and_no_nan(symmetry):
    with pytest.raises(ValueError, match=r"not finite|learning rate below"):
        run(build(depth=8, dtype=torch.float32), steps=50, learning_rate=1e20, symmetry=symmetry)


def test_weights_that_are_not_finite_are_an_error():
    model = build()
    with torch.no_grad():
        model.v[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        run(model)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_an_error_and_leaves_the_weights(value):
    model = build()
    before = weights(model).clone()
    model.m.register_hook(lambda gradient: gradient * value)
    with pytest.raises(ValueError, match="the gradient overflows at step 0; try a learning rate below"):
        run(model)
    assert torch.equal(before, weights(model))


def test_one_model_trains_on_tasks_of_all_sizes():
    mixed = MixedTask((3, 9), (1, 4), (2, 4))
    model = EquivariantTransformer(3, 2, 2, 1, scalars=4)
    before = weights(model)
    history = run(model, mixed, steps=6)
    assert len(history.loss) == 6
    assert (weights(model) == before).sum() == 1  # all scalars move but the last gamma, which is idle
    assert (model.n_features, model.n_classes) == (3, 2)
    again = EquivariantTransformer(3, 2, 2, 1, scalars=4)
    run(again, mixed, steps=6)
    assert torch.equal(weights(again), weights(model))
    with pytest.raises(ValueError, match="one size"):
        run(build(DenseTransformer), mixed)


@pytest.mark.parametrize(
    "task", [LinearTask(6), MixedTask((3, 9)), CurvedTask(6), ClusterTask(6), HeavyTask(6)], ids=repr
)
def test_every_task_can_be_trained_on(task):
    """They all draw from a generator, in the dtype that is asked, and go on where it stands."""
    generator = torch.Generator().manual_seed(3)
    first, second = (task.sample(2, seed=generator, n_queries=2, dtype=torch.float64, device="cpu") for _ in range(2))
    again = task.sample(2, seed=torch.Generator().manual_seed(3), n_queries=2, dtype=torch.float64)
    assert first.x.dtype == torch.float64 and torch.equal(first.x, again.x)
    assert first.x.shape != second.x.shape or not torch.equal(first.x, second.x)
    assert len(train(EquivariantTransformer(depth=1), task, steps=2, progress=False).loss) == 2
    with pytest.raises(ValueError, match="device"):
        task.sample(2, device="nowhere")


def test_descent_is_adam_with_a_cycle_and_clipped_gradients():
    """Against torch by hand, on a steep parabola whose gradients are longer than 1."""
    start = torch.tensor([3.0, -4.0], dtype=torch.float64)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimiser = torch.optim.Adam([theirs], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=21)
    steps = descend([ours], 20, 0.1, lambda step: (step + 1) * (ours**2).sum(), progress=False)
    for step, (loss, rate) in enumerate(steps):
        value = (step + 1) * (theirs**2).sum()
        optimiser.zero_grad()
        value.backward()
        if theirs.grad.norm() > 1:
            theirs.grad /= theirs.grad.norm()
        assert rate == schedule.get_last_lr()[0] and loss == pytest.approx(value.item(), rel=1e-5)
        optimiser.step()
        schedule.step()
        assert torch.allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_descent_stops_where_nothing_is_to_be_descended(broken):
    x = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ValueError, match=f"the loss is {broken} at step 1"):
        list(descend([x], 3, 0.1, lambda step: x * (1 if step == 0 else broken), progress=False))
    with pytest.raises(ValueError, match="gradient overflows at step 0"):
        list(descend([x], 3, 0.1, lambda step: (x - x.detach()).abs().sqrt(), progress=False))


def test_answers_after_some_layers_count_as_much():
    """The loss is the mean over the layers that are read, each on its own."""
    for model in (build(depth=4), build(EquivariantTransformer, depth=4)):
        batch = TASK.sample(6, seed=torch.Generator().manual_seed(0), n_queries=3, dtype=torch.float64)
        stream = [z for z, _ in model.stream(batch.x, batch.context_y)]
        losses = [
            torch.nn.functional.cross_entropy(
                model.read_out(stream[level][:, 8:]).flatten(0, 1), batch.query_y.flatten()
            )
            for level in (1, 3, 4)
        ]
        history = run(model, steps=1, read_after=(1, 3))
        assert history.loss[0] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-12)


def test_answers_are_those_of_a_model_cut_short():
    model = build(EquivariantTransformer, depth=3, heads=2)
    batch = TASK.sample(5, n_queries=2, dtype=torch.float64)
    first, last = model.answers(batch.x, batch.context_y, (1,))
    short = build(EquivariantTransformer, depth=1, heads=2)
    short.load_state_dict({name: part[:1] if part.ndim > 1 else part for name, part in model.state_dict().items()})
    torch.testing.assert_close(first, short(batch.x, batch.context_y))
    torch.testing.assert_close(last, model(batch.x, batch.context_y))
    assert (first - last).abs().max() > 1e-3


@pytest.mark.parametrize("after", [(0,), (4,), (2, 1), (1, 1), (1.5,)])
def test_layers_that_cannot_be_read(after):
    with pytest.raises(ValueError, match="after"):
        run(build(depth=4), read_after=after)


def test_reading_early_changes_the_training():
    plain, early = build(depth=3), build(depth=3)
    run(plain), run(early, read_after=(1, 2))
    assert (weights(plain) - weights(early)).abs().max() > 1e-4
