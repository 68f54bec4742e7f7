"""What is trained: transformers, their training, and their files."""

from icl_nb import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "attention": [
            "AttentionTransformer",
            "DenseTransformer",
            "EquivariantTransformer",
            "InContextTransformer",
            "attention_layer",
        ],
        "files": [
            "KINDS",
            "SHIPPED",
            "available",
            "check_path",
            "describe",
            "load",
            "load_history",
            "save",
            "write_whole",
        ],
        "ordinary": ["OrdinaryTransformer", "permute"],
        "training": ["History", "SYMMETRIES", "train"],
    },
)
