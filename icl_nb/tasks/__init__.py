"""What is asked: batches of tasks, families of tasks, and shifts away from them."""

from icl_nb import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "batch": ["Batch", "Task", "UNLABELLED", "check_prompt", "check_sample"],
        "families": ["ClusterTask", "CurvedTask", "HeavyTask", "fourier_features", "monomials"],
        "linear": ["LinearTask", "MixedTask", "feature_scale"],
        "shifts": [
            "correlate",
            "heavy_tails",
            "hide_labels",
            "imbalance",
            "near_copies",
            "rescale",
            "to_sphere",
            "whiten",
        ],
        "tables": ["TableTask", "prepare"],
    },
)
