#!/bin/sh
# Installs kgen into a virtual environment of its own: no package of the image or of a project meets kgen's.
# The options of the feature arrive as VERSION and ENVIRONMENT; ROOT is set in tests alone.
set -eu
ROOT="${ROOT:-}"

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    echo "kgen needs Python 3.10 or newer: add the feature \`python\`, or use an image that has it" >&2
    exit 1
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    echo "kgen needs the venv module of Python: install python3-venv in the image" >&2
    exit 1
fi

python3 -m venv "$ROOT/opt/kgen"
"$ROOT/opt/kgen/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check "${VERSION:-keras-kgen}"
mkdir -p "$ROOT/usr/local/bin" "$ROOT/usr/local/share/kgen"
ln -sf /opt/kgen/bin/kgen "$ROOT/usr/local/bin/kgen"

# what the container does once it is there, in the folder of the project
quoted=$(printf '%s' "${ENVIRONMENT:-}" | sed "s/'/'\\\\''/g")
cat > "$ROOT/usr/local/share/kgen/post-create" <<END
#!/bin/sh
set -eu
environment='$quoted'
[ -z "\$environment" ] || exec kgen sync "\$environment"
END
chmod 755 "$ROOT/usr/local/share/kgen/post-create"
