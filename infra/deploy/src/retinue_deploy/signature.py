"""Sign container images, and verify their signatures, with Sigstore's cosign.

A signature has no key: its certificate names the workflow that signed, by GitHub's OpenID token.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from retinue_deploy.errors import DeployError, ProgramError
from retinue_deploy.ports import Signer
from retinue_deploy.programs import Programs
from retinue_deploy.registry import Registry


class Cosign:
    """Signs and verifies images of a registry.

    Args:
        programs: Runs cosign.
        registry: The registry.
        root: The repository.
    """

    def __init__(self, programs: Programs, registry: Registry, root: Path) -> None:
        self._programs = programs
        self._registry = registry
        self._root = root

    def sign(self, tag: str, variants: Sequence[str], sbom: Path) -> None:
        """Sign each variant of a tag, and attest its list of packages.

        Args:
            tag: The container image.
            variants: Its variants.
            sbom: A CycloneDX file.
        """
        self._login()
        for variant in variants:
            image = self._registry.reference(tag, variant)
            self._run("sign", "--yes", image)
            self._run("attest", "--yes", "--type", "cyclonedx", "--predicate", str(sbom), image)

    def verify(self, tag: str, variants: Sequence[str], signer: Signer) -> None:
        """Raise for a variant without a signature by the signer.

        Raises:
            DeployError: It has none.
        """
        self._login()
        who = ("--certificate-identity", signer.identity)
        issuer = ("--certificate-oidc-issuer", signer.issuer)
        for variant in variants:
            image = self._registry.reference(tag, variant)
            try:
                self._run("verify", *who, *issuer, image)
            except ProgramError as error:
                raise DeployError(
                    f"{image} has no signature by {signer.identity}, so it isn't deployed. Build "
                    "and sign it in that workflow, or remove signed_by from the tfvars file.\n"
                    f"{error}"
                ) from error

    def _login(self) -> None:
        if shutil.which("cosign") is None:
            raise DeployError(
                "cosign is missing: install it (https://docs.sigstore.dev/cosign/system_config/"
                "installation), to sign and verify container images"
            )
        host, user, password = self._registry.credentials()
        login = ["cosign", "login", "--username", user, "--password-stdin", host]
        self._programs.run(login, folder=self._root, secret=password)

    def _run(self, *arguments: str) -> None:
        self._programs.run(["cosign", *arguments], folder=self._root)
