"""Compute an environment's monthly cost without images."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinue_deploy.environment import resources

PRICES = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill.

    Attributes:
        what: The item.
        usd: US dollars a month; ``None`` if the price file has no price.
    """

    what: str
    usd: float | None


def prices() -> Mapping[str, Any]:
    """Return the price file."""
    with PRICES.open("rb") as file:
        return tomllib.load(file)


def at_rest(shown: Mapping[str, Any], price: Mapping[str, Any]) -> list[Line]:
    """Return the bill of an environment whose pools are at their minimum.

    The bill doesn't include images and their backups, logs, traffic, Rekognition and GPU instances.

    Args:
        shown: Values as ``terraform show -json`` gives them.
        price: The price file.
    """
    hours = float(price["hours_per_month"])
    found = resources(shown)

    def of(kind: str) -> list[Mapping[str, Any]]:
        return [values for _, found_kind, values in found if found_kind == kind]

    lines = [_database(values, price["rds"], hours) for values in of("aws_db_instance")]
    lines += [_storage(values, price["rds"]) for values in of("aws_db_instance")]

    interfaces = [
        item for item in of("aws_vpc_endpoint") if item["vpc_endpoint_type"] == "Interface"
    ]
    zones = sum(1 for item in of("aws_subnet")) or 1
    placed = sum(len(item.get("subnet_ids") or ()) or zones for item in interfaces)
    if interfaces:
        hourly = price["endpoint"]["zone_hour"]
        lines.append(Line(f"interface endpoints, {placed} in all zones", placed * hours * hourly))
    if gateways := len(of("aws_nat_gateway")):
        hourly = price["nat"]["gateway_hour"] + price["nat"]["address_hour"]
        lines.append(Line(f"NAT gateways, {gateways}", gateways * hours * hourly))
    lines += _tasks(found, price["fargate"], hours)
    keys, cloudwatch = len(of("aws_kms_key")) + 1, price["cloudwatch"]
    alarms = _alarm_metrics(of("aws_cloudwatch_metric_alarm"))
    composites = len(of("aws_cloudwatch_composite_alarm"))
    dashboards, secrets = len(of("aws_cloudwatch_dashboard")), len(of("aws_db_instance"))
    lines += [
        Line(f"KMS keys, {keys} with bootstrap's", keys * price["kms"]["key_month"]),
        Line(f"secrets, {secrets}", secrets * price["secrets"]["secret_month"]),
        Line(f"metrics in alarms, {alarms}", alarms * cloudwatch["alarm_month"]),
        *(
            [
                Line(
                    f"composite alarms, {composites}",
                    composites * cloudwatch["composite_alarm_month"],
                )
            ]
            if composites
            else []
        ),
        Line(f"dashboards, {dashboards}", dashboards * cloudwatch["dashboard_month"]),
        Line("container images, 10", 10 * price["ecr"]["image_gb"] * price["ecr"]["gb_month"]),
    ]
    return lines


def total(lines: list[Line]) -> float:
    """Return the sum of the lines that have a price, in US dollars a month."""
    return sum(line.usd or 0.0 for line in lines)


def table(lines: list[Line]) -> list[str]:
    """Return the bill as lines of text."""
    width = max(len(line.what) for line in lines)
    rows = [
        f"{line.what:<{width}}  {'no price' if line.usd is None else f'{line.usd:8.2f}'}"
        for line in lines
    ]
    return [*rows, f"{'total':<{width}}  {total(lines):8.2f}"]


def _database(values: Mapping[str, Any], price: Mapping[str, Any], hours: float) -> Line:
    name = str(values["instance_class"])
    copies = 2 if values.get("multi_az") else 1
    hourly = price["hour"].get(name)
    standby = " with a standby" if copies == 2 else ""
    return Line(f"PostgreSQL on {name}{standby}", hourly and hourly * hours * copies)


def _storage(values: Mapping[str, Any], price: Mapping[str, Any]) -> Line:
    copies = 2 if values.get("multi_az") else 1
    gigabytes = int(values["allocated_storage"])
    return Line(
        f"storage, {'2 × ' if copies == 2 else ''}{gigabytes} GB",
        gigabytes * copies * price["storage_gb_month"],
    )


def _tasks(
    found: list[tuple[str, str, Mapping[str, Any]]], price: Mapping[str, Any], hours: float
) -> list[Line]:
    """Return a line for each pool with a ``min`` above 0. GPU instances have no price here."""
    sizes = {
        address.partition(".module.task.")[0]: values
        for address, kind, values in found
        if kind == "aws_ecs_task_definition"
    }
    lines = []
    for address, kind, values in found:
        if kind != "aws_appautoscaling_target" or not values["min_capacity"]:
            continue
        pool = address.partition(".aws_appautoscaling_target")[0]
        size, number = sizes[pool], int(values["min_capacity"])
        of_processor = price[size["runtime_platform"][0]["cpu_architecture"]]
        hourly = (
            int(size["cpu"]) / 1024 * of_processor["vcpu_hour"]
            + int(size["memory"]) / 1024 * of_processor["gb_hour"]
        )
        fargate = "FARGATE" in (size.get("requires_compatibilities") or ())
        name = pool.rpartition('["')[2].rstrip('"]')
        what = f"tasks of {name} that always run, {number}"
        lines.append(Line(what, number * hourly * hours if fargate else None))
    return lines


def _alarm_metrics(alarms: list[Mapping[str, Any]]) -> int:
    """Return the number of metrics in alarms, which CloudWatch bills."""
    return sum(
        sum(1 for query in alarm.get("metric_query") or () if query.get("metric")) or 1
        for alarm in alarms
    )
