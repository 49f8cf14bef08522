"""What can be trained, in words: the table of names, and the layers of one model."""

from edge_train.models import layers, networks, specification
from edge_train.models.specification import MODELS, Specification


def describe(name: str | None = None) -> str:
    """The table of trainable models, or the layers of one.

    Raises:
        SpecificationError: no model of that name.
    """
    if name is not None:
        return layer_table(name, specification.named(name))
    lines = [f"{'model':<14} {'parameters':>10}  origin"]
    for model, entry in MODELS.items():
        count = networks.parameter_count(networks.build(entry.specification))
        published = f": {entry.published}" if entry.published else ""
        lines.append(f"{model:<14} {count:>10,}  {entry.origin}{published}")
    return "\n".join(lines)


def layer_table(name: str, sizes: Specification) -> str:
    """A row for each layer of the model: its path, what it is, the shape it puts out for one picture, its numbers."""
    found = layers.of(sizes)
    rows = [(layer.path, layer.kind, str(layer.output), f"{layer.macs:,}", f"{layer.parameters:,}") for layer in found]
    rows.insert(0, ("layer", "kind", "output", "MACs", "parameters"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        f"{path:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {macs:>{widths[3]}}  {count:>{widths[4]}}"
        for path, kind, shape, macs, count in rows
    ]
    return "\n".join([f"{name}: {sum(layer.parameters for layer in found):,} parameters", "", *lines])
