"""Words of a command line that belong to another method than the one it names; Hydra would advise to add them."""

from collections.abc import Iterable, Sequence

from asd.config.schema import OF_METHOD

GROUPS_OF_ARCFACE = ("backbone", "input", "loss", "speed")  # conf/method/arcface.yaml chooses from them


def refuse_foreign_keys(keys: Iterable[str], methods: Sequence[str]) -> None:
    """Compares each key of a command line of train.py with the methods that it asks for.

    Args:
        keys: Keys and groups.
        methods: Several in a sweep.

    Raises:
        ValueError: A key or a group of another method.
    """
    for key in keys:
        owners = owners_of(key)
        for method in methods:
            if owners and method in OF_METHOD and method not in owners:
                what = "network, input and loss are its own" if key in GROUPS_OF_ARCFACE else "it has no such key"
                raise ValueError(f"{key} belongs to method={' and '.join(owners)}, not to method={method}: {what}")


def owners_of(key: str) -> list[str]:
    """The methods that a key or group belongs to; none where every method has it, or nobody."""
    if key in GROUPS_OF_ARCFACE:
        return ["arcface"]
    owners = [method for method, schema in OF_METHOD.items() if key in schema]
    return [] if key == "method" or len(owners) == len(OF_METHOD) else owners
