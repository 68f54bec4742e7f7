"""Many runs: side by side on one machine or many, over a grid, and against the clock."""

from icl_nb import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "bench": ["PARTS", "Size", "bench", "growth", "machine", "paired", "peak_bytes"],
        "engine": ["BACKENDS", "run_all", "take_shard"],
        "sweep": ["name_of", "run_configuration", "sweep"],
    },
)
