"""What the checkpoints of Part II are made from."""

from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from icl_nb.induction.models import FullInductionTransformer, InductionTransformer
from icl_nb.induction.tasks import MarkovTask, loss, posterior_predictive
from icl_nb.induction.training import JOINT, STAGED, Stage, predict_chains, train_full, train_induction

_EVALUATION = {"n_sequences": 20_000, "seed": 1}


@dataclass(frozen=True)
class Recipe:
    """All that a checkpoint is made from.

    Arguments:
        kind: "simplified" or "full".
        model: keyword arguments of the model.
        training: keyword arguments of `train_induction` or `train_full`.
        task: what it is trained and evaluated on.
        stages: of a simplified model.
    """

    kind: str = "simplified"
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    task: MarkovTask = field(default_factory=MarkovTask)
    stages: tuple[Stage, ...] = JOINT

    part = 2  # of the book
    parents = ()  # it starts from nothing

    def make(self, parent: object = None) -> tuple[torch.nn.Module, dict[str, np.ndarray], dict]:
        """Train and evaluate: the model, the arrays of its training, and what is to be kept about it."""
        if self.kind == "full":
            model = FullInductionTransformer(self.task.n_states, **self.model)
            run = train_full(model, self.task, progress=False, **self.training)
            history = {"step": np.array(run.step), "validation": np.array(run.validation)} | {
                part: np.array([getattr(found, part) for found in run.roles])
                for part in ("copying", "matching", "chance", "classifying")
            }
        else:
            model = InductionTransformer(**self.model).double()
            run = train_induction(model, self.task, self.stages, progress=False, **self.training)
            history = {part: getattr(run, part) for part in ("step", "validation", "copying", "selection", "sharpness")}
        chains = self.task.sample(_EVALUATION["n_sequences"], seed=_EVALUATION["seed"])
        value, error = loss(predict_chains(model, chains), chains.answer)
        bayes, _ = loss(posterior_predictive(chains, concentration=self.task.concentration), chains.answer)
        # Where one parent dominates, the rows of a kernel are no independent Dirichlet draws: this is no longer Bayes.
        evaluation = {"loss": value, "loss_se": error, "posterior_predictive": bayes} | _EVALUATION
        return model, history, {"recipe": asdict(self), "evaluation": evaluation, "seconds": round(run.seconds)}


_WEAK = {"start": (0.5, 0.1), "noise": 0.05}  # at most 0.46 of the attention on any lag


# Parent sets, alphabets and priors; in the last three the most informative set is not the parent set.
_TASKS = {
    "reference": (MarkovTask(), 2),
    "lag-1": (MarkovTask(lags=(1,)), 2),
    "lag-3": (MarkovTask(lags=(3,)), 2),
    "lags-1-3": (MarkovTask(lags=(1, 3)), 2),
    "lags-2-3": (MarkovTask(lags=(2, 3)), 2),
    "lags-1-2-3": (MarkovTask(lags=(1, 2, 3)), 3),
    "states-2": (MarkovTask(n_states=2), 2),
    "states-5": (MarkovTask(n_states=5), 2),
    "prior-0.03": (MarkovTask(concentration=0.03), 2),
    "prior-1": (MarkovTask(concentration=1.0), 2),
    "dominant-0.5": (MarkovTask(dominance=0.5), 2),
    "dominant-0.7": (MarkovTask(dominance=0.7), 2),
    "dominant-0.9": (MarkovTask(dominance=0.9), 2),
}


RECIPES: dict[str, Recipe] = {
    **{f"joint-{seed}": Recipe(training={"seed": seed}) for seed in range(3)},
    **{f"staged-{seed}": Recipe(training={"seed": seed}, stages=STAGED) for seed in range(3)},
    **{f"weak-{seed}": Recipe(model=_WEAK | {"seed": seed}, training={"seed": seed}) for seed in range(3)},
    "weak-staged-0": Recipe(model=_WEAK | {"seed": 0}, stages=STAGED),
    **{
        f"weak-staged-{seed}": Recipe(model=_WEAK | {"seed": seed}, training={"seed": seed}, stages=STAGED)
        for seed in range(1, 5)
    },
    **{
        f"{how}-no-parent-{seed}": Recipe(
            model={"degree": 1}, training={"seed": seed}, task=MarkovTask(concentration=0.02), stages=stages
        )
        for seed in range(3)
        for how, stages in (("joint", JOINT), ("staged", STAGED))
    },
    **{
        f"{how}-{name}": Recipe(
            model={"n_states": task.n_states, "degree": degree}, training={"seed": 7}, task=task, stages=stages
        )
        for name, (task, degree) in _TASKS.items()
        for how, stages in (("joint", JOINT), ("staged", STAGED))
    },
    **{
        f"full-{seed}": Recipe(
            "full", model={"seed": seed} if seed else {}, training={"steps": 5000} | ({"seed": seed} if seed else {})
        )
        for seed in range(3)
    },
}
