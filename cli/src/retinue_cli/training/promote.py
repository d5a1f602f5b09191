"""Replace a model version with another, without an interruption."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from retinue_sdk import ConfigurationError

from retinue_cli.options.json_flag import Say
from retinue_cli.training.errors import LeaseError, TrainingError
from retinue_cli.training.lease import HeldModel, Leases
from retinue_cli.training.service import CustomLabels, ModelVersion

START_SECONDS = 3_600.0
"""Maximum duration of a start. Users report up to 30 minutes."""

LOOK_SECONDS = 15.0

_ARN = re.compile(r"arn:[\w-]+:rekognition:[\w-]+:\d{12}:project/[\w.-]+/version/[\w.-]+/\d+")


@dataclass(slots=True)
class Pool:
    """The file that configures a pool's model version, and how to apply a change.

    Attributes:
        file: The file: Terraform variables, settings, or any text with the version's ARN.
        apply: Applies a change, such as by a deployment.

    Raises:
        TrainingError: ``apply`` failed.
    """

    file: Path
    apply: Callable[[], None]
    _before: str = field(default="", init=False)

    def current(self, project: str) -> str:
        """Return the only ARN of a version of this project in the file.

        Raises:
            ConfigurationError: The file has none, or more than one.
        """
        found = sorted(arn for arn in set(_arns(self.read())) if arn.split("/")[1] == project)
        if len(found) != 1:
            raise ConfigurationError(
                f"{self.file} names {len(found)} versions of the project {project}; it must name "
                "exactly the one that the pool uses now"
            )
        return found[0]

    def switch(self, old: str, new: str) -> None:
        """Replace the old ARN with the new one, and apply the change."""
        self._before = self.read()
        self._write(self._before.replace(old, new))
        self.apply()

    def restore(self) -> None:
        """Restore the file, and apply it."""
        self._write(self._before)
        self.apply()

    def read(self) -> str:
        """Return the file's text.

        Raises:
            ConfigurationError: It can't be read.
        """
        try:
            return self.file.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{self.file} cannot be read: {error}") from error

    def _write(self, text: str) -> None:
        draft = self.file.with_name(f".{self.file.name}.draft")
        try:
            draft.write_text(text, "utf-8")
            draft.chmod(self.file.stat().st_mode & 0o777)
            draft.replace(self.file)
        except OSError as error:
            raise TrainingError(
                f"{self.file} cannot be written: {error.strerror or error}"
            ) from error
        finally:
            draft.unlink(missing_ok=True)


def _said(error: BaseException) -> str:
    return str(error) or "interrupted"


def _arns(text: str) -> list[str]:
    return [match[0] for match in _ARN.finditer(text)]


def compare(old: ModelVersion, new: ModelVersion) -> None:
    """Raise if the new version is worse than the old one.

    Raises:
        ConfigurationError: Its F1 is lower, or unknown.
    """
    if new.f1 is None or (old.f1 is not None and new.f1 < old.f1):
        shown = [("unknown" if one.f1 is None else f"{one.f1:.3f}") for one in (new, old)]
        raise ConfigurationError(
            f"the F1 of {new.name} is {shown[0]}, that of {old.name} is {shown[1]}; nothing was "
            "changed. --force REASON promotes it anyway, and records the reason"
        )


def promote(
    service: CustomLabels,
    old: ModelVersion,
    new: ModelVersion,
    pool: Pool,
    leases: Leases,
    say: Say,
    *,
    units: int = 1,
    reason: str | None = None,
) -> None:
    """Start the new version, switch the pool to it, and stop the old one.

    A failure before the switch takes effect is undone: the file is restored and applied, and the
    new version is stopped, if this function started it. The function holds the new version's lease,
    so that no reaper stops it before a worker takes over, and its minutes are recorded.

    Raises:
        TrainingError: It failed. The message has the state afterwards.
    """
    try:
        with leases.hold(new.arn) as green:
            _switch(service, old, new, pool, green, say, units, reason)
    except LeaseError as error:
        raise TrainingError(f"{error}\nNothing was switched") from error
    if service.describe(old.arn).status not in ("RUNNING", "STARTING"):
        return
    say(f"stopping {old.name}")
    try:
        with leases.hold(old.arn) as blue:
            _stop(service, old.arn, blue, f"{new.name} took over")
    except LeaseError as error:
        raise TrainingError(
            f"The pool uses {new.name}, but {error}, so it keeps running and is billed. Its "
            "worker stops it when the queue is empty; without a worker, `retinue models reap` "
            "does"
        ) from error


def _switch(
    service: CustomLabels,
    old: ModelVersion,
    new: ModelVersion,
    pool: Pool,
    green: HeldModel,
    say: Say,
    units: int,
    reason: str | None,
) -> None:
    started = False
    try:
        why = f"to take over from {old.name}"
        green.begin(units, why if reason is None else f"{why}: {reason}")
        if new.status != "RUNNING":
            if new.status != "STARTING":
                # A failure from here on may have taken effect, so the version must be stopped, too.
                started = True
                say(f"starting {new.name} with {_units(units)}")
                _start(service, new.arn, units)
            _wait(service, new.arn, say)
        green.running()
        say(f"switching {pool.file} to {new.name}")
    except (Exception, KeyboardInterrupt) as error:
        _stop_again(service, new, green, started, say)
        raise TrainingError(f"{_said(error)}\nNothing was switched") from error
    try:
        pool.switch(old.arn, new.arn)
    except (Exception, KeyboardInterrupt) as error:
        say("that failed; restoring the old file")
        try:
            pool.restore()
        except TrainingError as again:
            raise TrainingError(
                f"{_said(error)}\nGoing back failed too: {again}\nBoth versions were left "
                f"running, and are billed: {old.arn} and {new.arn}. Correct {pool.file}, apply "
                "it, and stop the other version"
            ) from error
        _stop_again(service, new, green, started, say)
        raise TrainingError(f"{_said(error)}\nThe pool uses {old.name} again") from error


def _units(units: int) -> str:
    return "1 inference unit" if units == 1 else f"{units} inference units"


def _start(service: CustomLabels, arn: str, units: int) -> None:
    """Start a version. After an error, fail only if it isn't starting or running."""
    try:
        service.start(arn, units)
    except TrainingError:
        if service.describe(arn).status not in ("STARTING", "RUNNING"):
            raise


def _wait(service: CustomLabels, arn: str, say: Say) -> None:
    waited = 0.0
    while True:
        version = service.describe(arn)
        if version.status == "RUNNING":
            return
        if version.status != "STARTING" or waited >= START_SECONDS:
            raise TrainingError(
                f"{version.name} does not run: {version.status}: {version.message}"
                + (f" after {waited / 60:.0f} minutes" if version.status == "STARTING" else "")
            )
        if waited % 60 == 0:
            say(f"{version.name} is starting ({waited / 60:.0f} min)")
        time.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS


def _stop_again(
    service: CustomLabels, version: ModelVersion, held: HeldModel, started: bool, say: Say
) -> None:
    """Stop the version that was started here, if it runs."""
    if not started:
        return
    try:
        if service.describe(version.arn).status in ("RUNNING", "STARTING"):
            say(f"stopping {version.name} again")
            _stop(service, version.arn, held, "the promotion failed")
        else:
            held.stopped("the promotion failed")
    except TrainingError as error:
        say(f"{version.name} may still run, and be billed ({error}): see `retinue models status`")


def _stop(service: CustomLabels, arn: str, held: HeldModel, why: str) -> None:
    """Stop a version and wait for it. A version that is starting can't be stopped yet."""
    _wait_while(service, arn, "STARTING")
    held.stopping(why)
    if service.describe(arn).status == "RUNNING":
        service.stop(arn)
    _wait_while(service, arn, "STOPPING")
    told = service.describe(arn).status
    if told in ("STARTING", "RUNNING", "STOPPING"):
        raise TrainingError(f"{arn} is still {told}")
    held.stopped(why)


def _wait_while(service: CustomLabels, arn: str, status: str) -> None:
    waited = 0.0
    while service.describe(arn).status == status and waited < START_SECONDS:
        time.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
