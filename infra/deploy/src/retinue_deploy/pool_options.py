"""Check the options of pools' detectors as a worker does, before anything is applied."""

from collections.abc import Iterator, Mapping
from typing import Any

from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import Plugins

DETECTORS_OF_POOLS = (
    "jsonencode({ for name, pool in var.pools : name => { for detector, options in pool.detectors "
    ": detector => { for option, value in options : option => try(jsondecode(value), value) } } })"
)
"""The options as a worker gets them (modules/pool/main.tf), as an expression of Terraform."""

_OURS = ("onnx-", "rekognition-")
"""The detectors of these names are installed here. Others may be in the container image only."""


def option_problems(
    pools: Mapping[str, Mapping[str, Mapping[str, Any]]], region: str
) -> Iterator[str]:
    """Yield the problems for which a worker of a pool would refuse to start.

    Args:
        pools: Options by detector by pool.
        region: The workers' AWS region.
    """
    plugins = Plugins()
    for pool, detectors in pools.items():
        for name, options in detectors.items():
            known = plugins.registrations.get(name)
            if known is None and not name.startswith(_OURS):
                continue
            fields = known.detector.options_model.model_fields if known else {}
            given = {"region": region} if "region" in fields else {}
            try:
                plugins.make({name: {**given, **options}})
            except ConfigurationError as error:
                yield f"pool {pool}: {error}"
