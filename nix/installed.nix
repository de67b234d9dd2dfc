# installed :: { pkgs, lock, index ? …, netrc ? false, python ? … } -> what environments are made of
#
# Each wheel is fetched and unpacked (and byte-compiled) by itself, so that environments share what they have in common.
# Small ones are unpacked together: a derivation takes Nix longer than what is in them.
# A source distribution becomes a wheel first, built in an environment of what the lock says that it is built with, and of
# nothing else: a build has no network.
{
  fetchFile,
  pythonFor,
}:
{
  pkgs,
  lock,
  index ? null,
  netrc ? false,
  python ? null,
}:
let
  inherit (builtins)
    concatStringsSep
    filter
    match
    replaceStrings
    toJSON
    ;
  inherit (pkgs.stdenv.hostPlatform) system;

  drivers = import ./drivers.nix;
  inherit (import ./sources.nix) package;
  cpython = if python != null then python else pythonFor { inherit pkgs lock; };
  isLinux = match ".*-linux" system != null;
  # of what a version may hold, a store name may not
  storeName = replaceStrings [ "!" ] [ "-" ];

  derive =
    name: builder: arguments:
    derivation (
      {
        name = storeName name;
        inherit system;
        builder = cpython.interpreter;
        args = [
          "-sS"
          builder
        ];
        PYTHONHASHSEED = "0";
        minor = lock.python;
      }
      // arguments
    );

  fetched =
    file:
    fetchFile (
      {
        inherit pkgs file netrc;
        python = cpython;
      }
      // (if index == null then { } else { inherit index; })
    );

  # what a derivation by itself costs is worth it for wheels of so many bytes
  worthOne = 1000000;

  unpacked =
    name: wheels:
    derive name ./builders/unpack_wheels.py { wheels = toJSON wheels; };

  placed = path: file: {
    inherit path;
    project = file.name;
    owner = "${file.name} ${file.version}";
  };

  # `size` is null where nobody has said it
  describe = file: folder: {
    inherit (file) wheel size;
    inherit folder;
    project = file.name;
  };

  alone =
    file: placed "${unpacked "${file.name}-${file.version}" [ (describe file "") ]}" file;

  # of files of a lock
  wheelsOf =
    files:
    let
      isSmall = file: file.size != null && file.size < worthOne;
      withWheel = file: {
        inherit (file) name version size;
        wheel = fetched file;
      };
      small = map withWheel (filter isSmall files);
      together = unpacked "small-wheels" (map (file: describe file file.name) small);
    in
    map (
      file: if isSmall file then placed "${together}/${file.name}" file else alone (withWheel file)
    ) files;

  link =
    name:
    {
      packages,
      variables ? { },
      driver ? [ ],
      shows ? false,
    }:
    derive name ./builders/link_venv.py {
      # how the project itself, installed editable, gets on the path
      project = if shows then ./builders/_kgen_project.py else "";
      environment = name;
      driver = concatStringsSep " " driver;
      interpreter = cpython.interpreter;
      wheels = toJSON packages;
      # programs of wheels ask for the one of ordinary systems, which NixOS has not
      loader = if isLinux then pkgs.stdenv.cc.bintools.dynamicLinker else "";
      # on macOS wheels find everything that they need
      preload = if isLinux then ./builders/_kgen_preload.py else "";
      libraries = concatStringsSep " " (
        if isLinux then
          [
            "${pkgs.stdenv.cc.cc.lib}/lib/libstdc++.so.6"
            "${pkgs.zlib}/lib/libz.so.1"
          ]
        else
          [ ]
      );
      variables = toJSON variables;
    };

  builders = link "${lock.environment}-builders" { packages = wheelsOf lock.build; };

  # a wheel of sources: an archive or a folder
  buildWheel =
    {
      name,
      version,
      source,
      editable ? false,
    }:
    pkgs.runCommandCC (storeName "${name}-${version}${if editable then "-editable" else ""}.whl")
      {
        inherit source;
        project = "${name} ${version}";
        PYTHONHASHSEED = "0";
        # what is in a wheel must not be of today; a zip file knows no time before 1980
        SOURCE_DATE_EPOCH = "315619200";
      }
      ''
        export HOME="$TMPDIR" PYTHONDONTWRITEBYTECODE=1
        ${pkgs.python3.interpreter} -sS ${./builders/unpack_source.py} "$TMPDIR/project"
        cd "$TMPDIR/project"
        mkdir "$TMPDIR/wheels"
        mapfile -t how < "$TMPDIR/build-system"
        ${builders}/bin/python -s ${package + "/formats/wheels/pep517.py"} \
          "''${how[0]}" "''${how[1]-}" "$TMPDIR/wheels" ${if editable then "editable" else "wheel"} || {
          echo >&2 "kgen: $project cannot be built with what the lock has for that; what it asks for besides stands above"
          exit 1
        }
        ${if editable then relocated else "mv $TMPDIR/wheels/*.whl $out"}
      '';

  # paths of the folder in which it was built are taken out of an editable wheel
  relocated = "${pkgs.python3.interpreter} -sS ${./builders/relocate_project.py} $TMPDIR/project $TMPDIR/wheels/*.whl $out";

  sourceOf =
    file:
    alone {
      inherit (file) name version;
      size = null;
      wheel = buildWheel {
        inherit (file) name version;
        source = fetched file;
      };
    };

  venv = link lock.environment {
    packages = wheelsOf lock.wheels ++ map sourceOf lock.sources;
    inherit (lock) variables;
    driver = drivers.${lock.accelerator} or [ ];
    shows = lock.buildsProject;
  };
in
{
  inherit cpython venv;

  # the environment with a project in it, built as a wheel
  withProject =
    {
      name,
      version,
      source,
    }:
    link lock.environment {
      packages = wheelsOf lock.wheels ++ [
        (alone {
          inherit name version;
          size = null;
          wheel = buildWheel { inherit name version source; };
        })
      ];
    };

  # The project itself, installed editable: `site` with its metadata, and `bin` with its programs. What is in a store has no
  # place for the folder that somebody works in: paths in it are looked up in $KGEN_PROJECT when they are asked for.
  editable =
    source:
    derive "${lock.environment}-project" ./builders/link_venv.py {
      python = "${venv}/bin/python";
      editable = (alone {
        name = "project";
        version = "0";
        size = null;
        wheel = buildWheel {
          name = "project";
          version = "0";
          editable = true;
          inherit source;
        };
      }).path;
    };
}