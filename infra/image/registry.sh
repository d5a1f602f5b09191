# Sourced in the build. Behind a company's mirror or proxy, two secrets say how packages are had:
# `registry`, lines such as UV_DEFAULT_INDEX=https://…, and `certificates`, a PEM file.
if [ -s /run/secrets/registry ]; then
    set -a
    . /run/secrets/registry
    set +a
fi
if [ -s /run/secrets/certificates ]; then
    export SSL_CERT_FILE=/run/secrets/certificates PIP_CERT=/run/secrets/certificates
fi
# pip, which fetches uv, has a name of its own for the index.
[ -z "${UV_DEFAULT_INDEX:-}" ] || export PIP_INDEX_URL="${PIP_INDEX_URL:-$UV_DEFAULT_INDEX}"
export PIP_DISABLE_PIP_VERSION_CHECK=1
