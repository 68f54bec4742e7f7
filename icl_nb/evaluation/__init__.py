"""What can be known of a task, and who knows how much."""

from icl_nb import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "baselines": [
            "BASELINES",
            "NEWTON_STEPS",
            "PENALTIES",
            "SEMI_SUPERVISED",
            "baseline_predict",
            "best_logistic",
            "descent_path",
            "logistic_predict",
            "newton_path",
            "semi_supervised_predict",
        ],
        "oracle": [
            "InseparableError",
            "Posterior",
            "R_HAT_LIMIT",
            "SEEK_SWEEPS",
            "SEGMENTS",
            "bayes_posterior",
            "bayes_predict",
            "mirrored_normal",
            "sample_w",
            "split_r_hat",
            "truncated_normal",
        ],
        "scores": [
            "Comparison",
            "LEAST_PROBABILITY",
            "Measured",
            "Predictor",
            "Report",
            "compare",
            "difference",
            "evaluate",
            "hits",
            "log_loss",
            "mean_agreement",
            "mean_and_error",
            "model_hits",
            "predict",
            "reliability",
            "score",
        ],
        "survey": ["Survey", "yardstick", "yardsticks"],
        "table": ["Table"],
    },
)
