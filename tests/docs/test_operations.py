"""The pages for operators say what the Terraform, the price files and the sources say."""

import re
import subprocess
import sys
from pathlib import Path

from retinue_deploy.diagram import diagram

ALARM = re.compile(
    r"^  alarm_name += \"\$\{(?:local\.name|var\.name|var\.task\.name_prefix)\}-([\w${}.-]+)\"$",
    re.MULTILINE,
)
BUDGET = re.compile(
    r"^resource \"aws_budgets_budget\" .*?^  name += \"\$\{var\.name\}-(\w+)-",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^### NAME-((?:POOL-)?[a-z-]+)$", re.MULTILINE)
NAMED = re.compile(
    r"`((?:aws|cli|console|docs|infra|migrations|plugins|sdk|tests|workers)/[\w./-]+|uv\.lock)`"
)


SCHEDULED = re.compile(
    r"^module \"schedule\" \{\n(?:.*\n)*?  purpose += \"([a-z-]+)\"$", re.MULTILINE
)


def alarms(modules: Path) -> set[str]:
    """Return the alarms' names without the environment, with POOL for a pool's name."""
    found: set[str] = set()
    purposes = {
        name
        for file in modules.glob("*/main.tf")
        for name in SCHEDULED.findall(file.read_text("utf-8"))
    }
    assert len(purposes) == 2
    for file in modules.glob("*/*.tf"):
        text = file.read_text("utf-8")
        names = ALARM.findall(text)
        assert len(names) == len(
            re.findall(r'"aws_cloudwatch_(?:metric|composite)_alarm"', text)
        ), file
        pool = "POOL-" if file.parent.name == "pool" else ""
        for name in (f"{pool}{name}" for name in names):
            if name == "POOL-budget-${each.key}":
                continue  # without actions
            if name == "POOL-slo-${each.key}":
                found |= {"POOL-slo-late", "POOL-slo-failed"}
            elif "${each.key}" in name:
                end = re.escape(name.removeprefix(pool))
                [group] = re.findall(
                    rf'for name, alarm in local\.(\w+) [^}}]*\}}\n\n  alarm_name .*{end}"', text
                )
                each = re.search(rf"^  {group} = \{{\n(.*?)^  \}}", text, re.MULTILINE | re.DOTALL)
                assert each is not None
                keys = re.findall(r"^    (\w+) = \{", each[1], re.MULTILINE)
                assert keys
                found |= {name.replace("${each.key}", key) for key in keys}
            elif "${var.purpose}" in name:
                found |= {name.replace("${var.purpose}", purpose) for purpose in purposes}
            else:
                found.add(name)
        found |= set(BUDGET.findall(text))
    return found


def test_the_runbook_has_every_alarm_and_no_other(root: Path) -> None:
    told = HEADING.findall((root / "docs/runbook.md").read_text("utf-8"))
    assert sorted(told) == sorted(alarms(root / "infra/modules"))


def test_what_the_threat_model_points_at_exists(root: Path) -> None:
    page = (root / "docs/threat-model.md").read_text("utf-8")
    named = set(NAMED.findall(page))
    assert len(named) > 30
    assert {path for path in named if not (root / path).exists()} == set()


def test_every_threat_has_an_answer_a_place_and_what_remains(root: Path) -> None:
    page = (root / "docs/threat-model.md").read_text("utf-8")
    _, _, threats = page.partition("## Untrusted")
    rows = re.findall(r"^\| (?!threat)(.+) \|$", threats, re.MULTILINE)
    assert len(rows) > 25
    for row in rows:
        cells = row.split(" | ")
        assert len(cells) == 4, row
        assert all(cell.strip() for cell in cells), row
        assert NAMED.search(cells[2]), row


def test_the_tables_of_costs_are_the_price_files(root: Path) -> None:
    printed = subprocess.run(
        [sys.executable, root / "docs/generators/cost_page.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    page = (root / "docs/cost.md").read_text("utf-8")
    assert "10,000 images" in printed
    assert printed.strip() in page, "renew it: .venv/bin/python docs/generators/cost_page.py"


def test_the_drawing_is_what_the_terraform_says(root: Path) -> None:
    page = (root / "infra/README.md").read_text("utf-8")
    drawn = diagram()
    assert f"```mermaid\n{drawn}\n```" in page, "renew it: python -m retinue_deploy.diagram"
    text = (root / "infra/main.tf").read_text("utf-8")
    for module in re.findall(r'^module "(\w+)"', text, re.MULTILINE):
        assert f"    {module}[" in drawn


def test_operators_have_the_permissions_that_the_page_lists(root: Path) -> None:
    page = (root / "docs/redrive.md").read_text("utf-8")
    listed = {
        permission
        for line in page.splitlines()
        if line.startswith("| `") and not line.endswith("| an inventory |")
        for permission in re.findall(r"`((?:sqs|s3):\w+)`", line)
    }
    granted = re.findall(
        r'"((?:sqs|s3):\w+)"', (root / "infra/modules/operator/main.tf").read_text("utf-8")
    )
    assert listed == set(granted)
