"""Draw the root module from its Terraform: ``python -m retinue_deploy.diagram`` prints Mermaid.

A box is a module that ``infra/main.tf`` calls, with the AWS services it uses. An arrow names a
module's inputs from another. infra/README.md contains the output.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

INFRA = Path(__file__).parents[3]

SERVICES = {
    "appautoscaling": "Application Auto Scaling",
    "athena": "Athena",
    "autoscaling": "EC2 Auto Scaling",
    "budgets": "Budgets",
    "cloudwatch": "CloudWatch",
    "cloudwatch_event": "EventBridge",
    "db": "RDS",
    "ecs": "ECS",
    "eip": "VPC",
    "flow": "VPC",
    "glue": "Glue",
    "iam": "IAM",
    "internet": "VPC",
    "kms": "KMS",
    "launch": "EC2",
    "lb": "Elastic Load Balancing",
    "nat": "VPC",
    "route": "VPC",
    "s3": "S3",
    "scheduler": "EventBridge Scheduler",
    "security": "VPC",
    "sns": "SNS",
    "sqs": "SQS",
    "subnet": "VPC",
    "vpc": "VPC",
    "default": "VPC",
}
"""AWS's name of a service, by the first words of its resource types in Terraform."""

_MODULE = re.compile(r'^module "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_RESOURCE = re.compile(r'^resource "aws_(cloudwatch_event|[a-z0-9]+)_?\w*" ', re.MULTILINE)
_SOURCE = re.compile(r'^  source += "\.\./(\w+)"', re.MULTILINE)
_REFERENCE = re.compile(r"module\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?")
_EACH = re.compile(r"^  for_each += (\S+)$", re.MULTILINE)
_LOCAL = re.compile(r"^  (\w+) += (\{\n.*?^  \}|.+?)$", re.MULTILINE | re.DOTALL)


def diagram(root: Path = INFRA) -> str:
    """Return the root module as a flowchart in Mermaid's language.

    Args:
        root: The root module, with its modules in ``modules/``.

    Raises:
        KeyError: ``SERVICES`` lacks the service of a resource type.
    """
    text = (root / "main.tf").read_text(encoding="utf-8")
    locals_block = re.search(r"^locals \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    shared = dict(_LOCAL.findall(locals_block[1] if locals_block else ""))
    boxes, arrows, keyed = {}, [], []
    for name, body in _MODULE.findall(text):
        each = _EACH.search(body)
        many = f"<br/>for_each = {each[1]}" if each else ""
        services = ", ".join(sorted(_services(root / "modules" / name)))
        boxes[name] = f"<b>{name}</b>{many}" + (f"<br/>{services}" if services else "")
        taken = defaultdict(set)
        for other, output in _REFERENCE.findall(_with_locals(body, shared)):
            taken[other].add(output)
        if "key" in taken:
            keyed.append(name)
        for other in sorted(taken.keys() - {name, "key"}):
            what = "<br/>".join(sorted(filter(None, taken[other])))
            arrows.append(
                f'    {name} -- "{what}" --> {other}' if what else f"    {name} --> {other}"
            )
    # Arrows to the key would cross all others, so it is a separate, last box.
    boxes["key"] = f"{boxes.pop('key')}<br/>encrypts for {', '.join(keyed)}"
    drawn = [f'    {name}["{label}"]' for name, label in boxes.items()]
    return "\n".join(["flowchart TB", *drawn, *arrows])


def _with_locals(body: str, values: Mapping[str, str]) -> str:
    """Return a module block followed by the local values that it uses, directly or not."""
    text, seen = body, set[str]()
    while used := set(re.findall(r"\blocal\.(\w+)", text)) & values.keys() - seen:
        seen |= used
        text += "".join(values[name] for name in sorted(used))
    return text


def _services(folder: Path) -> set[str]:
    """Return the services whose resources a module creates, directly or through its modules."""
    found = set()
    for file in folder.glob("*.tf"):
        text = file.read_text(encoding="utf-8")
        found |= {SERVICES[word] for word in _RESOURCE.findall(text)}
        for inner in _SOURCE.findall(text):
            found |= _services(folder.parent / inner)
    return found


if __name__ == "__main__":
    sys.stdout.write(diagram() + "\n")
