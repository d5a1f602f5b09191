"""Check the settings of pools as a worker does, before anything is built or applied."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.settings.settings import Settings, explain, prices_of

SETTINGS_OF_POOLS = """jsonencode({ for name, pool in var.pools : name => merge(pool.settings, {
detectors = { for detector, options in pool.detectors :
detector => { for option, value in options : option => try(jsondecode(value), value) } },
prices = merge(pool.prices, pool.price_tiers),
monthly_budgets_usd = pool.monthly_budgets_usd,
routes = pool.routes,
isolation = pool.isolation,
hosted_models = pool.hosted_models,
max_in_flight = pool.max_in_flight,
visibility_timeout_seconds = pool.visibility_timeout_seconds,
heartbeat_seconds = pool.heartbeat_seconds,
detector_timeout_seconds = pool.detector_timeout_seconds,
shutdown_grace_seconds = pool.shutdown_grace_seconds,
stop_timeout_seconds = pool.stop_timeout_seconds,
}) })""".replace("\n", " ")
"""A worker's settings by pool, as it gets them (modules/pool/main.tf), as an expression of
Terraform. ``terraform console`` reads a line.
"""

_OURS = ("onnx-", "rekognition-")
"""The detectors of these names are installed here. Others may be in the container image only."""


def pool_problems(pools: Mapping[str, Mapping[str, Any]], region: str) -> Iterator[str]:
    """Yield the problems for which a worker of a pool would refuse to start.

    Args:
        pools: Settings by pool.
        region: The workers' AWS region.
    """
    plugins = Plugins()
    for pool, given in pools.items():
        try:
            settings = Settings(**given)
        except ValidationError as error:
            yield from (f"pool {pool}: {line}" for line in explain(error).splitlines())
            continue
        for name, options in settings.detectors.items():
            known = plugins.registrations.get(name)
            if known is None and not name.startswith(_OURS):
                continue
            fields = known.detector.options_model.model_fields if known else {}
            added = {"region": region} if "region" in fields else {}
            try:
                [detector] = plugins.make({name: {**added, **options}})
            except ConfigurationError as error:
                yield f"pool {pool}: {error}"
                continue
            if name in settings.monthly_budgets_usd and not prices_of(
                name, detector.capabilities, settings.prices.get(name)
            ):
                yield (
                    f"pool {pool}: monthly_budgets_usd: detector {name} has no price, so its "
                    "budget would never be spent; set its price in prices, or drop the budget"
                )
