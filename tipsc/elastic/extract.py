"""A path as a plain torch module."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from tipsc.elastic.frozen_norm import scaled_variance
from tipsc.elastic.layers import ElasticLayer
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, skeleton, trace
from tipsc.errors import PathError
from tipsc.paths import Path


def extract(supernet: Supernet, path: Path, statistics: Statistics | None = None) -> fx.GraphModule:
    """The subnetwork of `path` as an ``nn.Module`` in eval mode that knows nothing of tipsc.

    It takes the inputs one after the other, or by their names, and gives what the supernet gives.

    Args:
        supernet: keeps its weights; the result has copies.
        path: of its space.
        statistics: of this path, from ``train.calibrate``; without them batch norms keep the
            supernet's running statistics, which fit no path well.

    Raises:
        PathError: the statistics are another path's, or hold a parameter that the path does not
            have, or has in another size.
        LoweringError: the supernet cannot be traced.
    """
    if statistics is not None and statistics.path_id != path.id:
        raise PathError(
            "these batch-norm statistics belong to another path",
            expected=path.id,
            got=statistics.path_id,
            fix="calibrate this path",
        )
    module = extract_traced(supernet, trace(skeleton(supernet), path), statistics)
    if statistics is not None:
        unknown = statistics.own.keys() - dict(module.named_parameters()).keys()
        if unknown:
            raise PathError(
                "the path has no such parameter",
                where=f"path {path.id}",
                got=", ".join(sorted(unknown)),
                fix="give it parameters of its own from its own training",
            )
    return module


def extract_traced(
    supernet: Supernet, traced: Trace, statistics: Statistics | None = None
) -> fx.GraphModule:
    """:func:`extract` of a path whose steps are known, which spares tracing it again."""
    modules, graph = plain_modules(supernet, traced, statistics), fx.Graph()
    graph.output(graph.graph_copy(traced.graph, {}))
    module = fx.GraphModule(modules, graph, class_name=type(supernet).__name__)
    for node in module.graph.nodes:
        node.meta.clear()
    return module.eval()


def plain_modules(
    supernet: Supernet, traced: Trace, statistics: Statistics | None
) -> dict[str, object]:
    """The plain layers and parameters that a path's steps use, by their names."""
    found: dict[str, object] = {}
    for node, _ in traced.nodes():
        name = str(node.target)
        if node.op == "call_module" and name not in found:
            found[name] = _plain(supernet.get_submodule(name), name, traced.path, statistics)
        elif node.op == "get_attr" and name not in found:
            value = supernet
            for part in name.split("."):
                value = getattr(value, part)
            found[name] = copy.deepcopy(value)
            _give(found[name], "", name, statistics)
    return found


def _plain(layer: nn.Module, name: str, path: Path, statistics: Statistics | None) -> nn.Module:
    if isinstance(layer, ElasticLayer):
        module = layer.plain(path).eval()
    else:
        module = copy.deepcopy(layer).eval()
    if statistics is not None:
        with torch.no_grad():
            if name in statistics.mean:
                module.get_buffer("running_mean").copy_(statistics.mean[name])
            if name in statistics.variance:
                module.get_buffer("running_var").copy_(statistics.variance[name])
            if name in statistics.ratio:
                shared, eps = module.get_buffer("running_var"), float(cast(Any, module).eps)
                shared.copy_(scaled_variance(shared, statistics.ratio[name], eps))
        for key, parameter in module.named_parameters():
            _give(parameter, name, key, statistics)
    return module


def _give(parameter: object, layer: str, key: str, statistics: Statistics | None) -> None:
    """The path's own value, if it has one."""
    name = f"{layer}.{key}" if layer else key
    if statistics is None or name not in statistics.own or not isinstance(parameter, Tensor):
        return
    value = statistics.own[name]
    if value.shape != parameter.shape:  # copy_ would spread one value over all
        raise PathError(
            "a parameter of the path's own has another size than the path uses",
            where=f"path {statistics.path_id}, {name}",
            expected=tuple(parameter.shape),
            got=tuple(value.shape),
            fix="take it from this path's own training",
        )
    with torch.no_grad():
        parameter.copy_(value)
