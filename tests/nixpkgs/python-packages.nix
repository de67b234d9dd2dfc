# As much of nixpkgs' Python packages as a package of kgen there uses, in its own form: `buildPythonApplication` builds
# the source with its build system, checks what the wheel requires, installs it, and wraps its programs. The packages
# themselves are links to what the tests have installed: `distributions` is name -> place in the package -> file here.
{
  pkgs,
  distributions,
  uv,
}:
let
  inherit (pkgs) python3;
  sites = "lib/python${python3.pythonVersion}/site-packages";

  linked =
    name: links:
    pkgs.runCommand name
      {
        links = toString (
          builtins.concatMap (place: [
            place
            links.${place}
          ]) (builtins.attrNames links)
        );
      }
      ''
        set -- $links
        while [ $# -gt 0 ]; do
          mkdir -p "$(dirname "$out/$1")"
          ln -s "$2" "$out/$1"
          shift 2
        done
      '';

  path = packages: builtins.concatStringsSep ":" (map (one: "${one}/${sites}") packages);

  buildPythonApplication =
    {
      pname,
      version,
      pyproject,
      src,
      build-system,
      nativeBuildInputs,
      dependencies,
      pythonRemoveDeps,
      postFixup,
      doCheck,
      pythonImportsCheck,
      meta,
    }:
    assert pyproject && !doCheck;
    pkgs.runCommand "${pname}-${version}"
      {
        inherit src postFixup;
        builders = path build-system;
        needed = path dependencies;
        names = map (one: one.name) dependencies;
        removed = pythonRemoveDeps;
        imports = pythonImportsCheck;
        hooks = nativeBuildInputs;
      }
      ''
        cp -r "$src" source
        chmod -R u+w source
        cd source
        export PATH="${python3}/bin:$PATH" HOME="$PWD" UV_CACHE_DIR="$PWD/cache" SOURCE_DATE_EPOCH=1700000000
        python=${python3.interpreter}
        PYTHONPATH=$builders $python -c 'from hatchling.build import build_wheel; build_wheel("dist")'
        PYTHONPATH=$needed $python ${./requirements.py} dist/*.whl "$names" "$removed"
        ${uv}/bin/uv pip install --quiet --offline --no-index --no-deps --prefix "$out" --python $python dist/*.whl
        for program in "$out"/bin/*; do
          mv "$program" "$out/bin/.''${program##*/}-python"
          printf '%s\n' "#!$BASH" "export PYTHONPATH=$out/${sites}:$needed" \
            "exec $out/bin/.''${program##*/}-python \"\$@\"" > "$program"
          chmod +x "$program"
        done
        for hook in $hooks; do . "$hook"; done
        eval "$postFixup"
        cd /
        for module in $imports; do PYTHONPATH=$out/${sites}:$needed $python -c "import $module"; done
      ''
    // {
      inherit pname version meta;
    };
in
builtins.mapAttrs linked distributions
// {
  inherit buildPythonApplication;
}
