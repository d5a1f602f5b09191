"""ECR: list images, sign in, build and push."""

import base64
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from retinue_deploy.builder import Builder
from retinue_deploy.errors import DeployError

SUFFIX = {"cpu": "", "arm64": "-arm64", "cuda": "-cuda"}
"""The suffix of a variant's tag (modules/image_reference reads it)."""


_MANIFESTS = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
]


class Registry:
    """A repository in ECR, and the builder that fills it.

    Args:
        ecr: A client.
        repository: Its name.
        builder: Builds and pushes; ``None`` if only existing images will be deployed.
        revision: The commit of this checkout.
    """

    def __init__(self, ecr: Any, repository: str, builder: Builder | None, revision: str) -> None:
        self._ecr = ecr
        self._repository = repository
        self._builder = builder
        self._revision = revision

    def missing(self, tag: str, variants: Sequence[str]) -> Sequence[str]:
        """Return those of a tag's variants that aren't in the registry."""
        return [variant for variant in variants if not self._has(tag + SUFFIX[variant])]

    def newest(self) -> Sequence[str]:
        """Return the newest tags, ten at most, without the suffix of a variant."""
        pages = self._ecr.get_paginator("describe_images").paginate(
            repositoryName=self._repository, filter={"tagStatus": "TAGGED"}
        )
        found = [
            (image["imagePushedAt"], tag)
            for page in pages
            for image in page["imageDetails"]
            for tag in image.get("imageTags", ())
            if not tag.endswith((SUFFIX["cuda"], SUFFIX["arm64"]))
            and not tag.startswith("deployed_")
        ]
        return [tag for _, tag in sorted(found, reverse=True)[:10]]

    def build(self, tag: str, variant: str) -> None:
        """Build a variant on this machine."""
        self._with_builder().build(self._name(tag, variant), variant, self._revision)

    def push(self, tag: str, variant: str) -> None:
        """Push a built variant."""
        builder = self._with_builder()
        builder.login(*self.credentials())
        builder.push(self._name(tag, variant))

    def keep(self, tag: str, environment: str, variants: Sequence[str]) -> None:
        """Keep a tag's variants from expiring, because an environment runs them.

        The registry's lifecycle (modules/registry) keeps the last images with such tags.
        """
        for variant in variants:
            image = {"imageTag": tag + SUFFIX[variant]}
            [found] = self._ecr.batch_get_image(
                repositoryName=self._repository, imageIds=[image], acceptedMediaTypes=_MANIFESTS
            )["images"]
            media_type = found.get("imageManifestMediaType")
            try:
                self._ecr.put_image(
                    repositoryName=self._repository,
                    imageManifest=found["imageManifest"],
                    imageTag=f"deployed_{environment}_{image['imageTag']}",
                    **({"imageManifestMediaType": media_type} if media_type else {}),
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ImageAlreadyExistsException":
                    raise

    def reference(self, tag: str, variant: str) -> str:
        """Return a variant's name with its digest.

        Raises:
            DeployError: The registry doesn't have it.
        """
        name = tag + SUFFIX[variant]
        try:
            [found] = self._ecr.describe_images(
                repositoryName=self._repository, imageIds=[{"imageTag": name}]
            )["imageDetails"]
        except (ClientError, ValueError) as error:
            raise DeployError(f"the registry has no container image {name}") from error
        return f"{self._url()}@{found['imageDigest']}"

    def credentials(self) -> tuple[str, str, str]:
        """Return host, user and password of the registry. They are valid for 12 hours."""
        [authorization] = self._ecr.get_authorization_token()["authorizationData"]
        token = base64.b64decode(authorization["authorizationToken"]).decode()
        user, _, password = token.partition(":")
        return self._url().partition("/")[0], user, password

    def _with_builder(self) -> Builder:
        if self._builder is None:
            raise DeployError(
                "the container image must be built, and there is no Docker engine, Podman or "
                "Buildah here: install one, or set IMAGE_TAG= to one that is in the registry"
            )
        return self._builder

    def _has(self, tag: str) -> bool:
        try:
            found = self._ecr.describe_images(
                repositoryName=self._repository, imageIds=[{"imageTag": tag}]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in (
                "ImageNotFoundException",
                "RepositoryNotFoundException",
            ):
                return False
            raise
        return bool(found["imageDetails"])

    def _url(self) -> str:
        [repository] = self._ecr.describe_repositories(repositoryNames=[self._repository])[
            "repositories"
        ]
        return str(repository["repositoryUri"])

    def _name(self, tag: str, variant: str) -> str:
        return f"{self._url()}:{tag}{SUFFIX[variant]}"
