# `machine` is written by the tests: pure evaluation could not look at the machine itself.
{ machine, system }:
let
  bash = "${machine.tools}/bash";

  run =
    name: attributes: script:
    derivation (
      {
        inherit name system;
        builder = bash;
        # were the last program to take bash's place, Nix would end it as soon as it closes what it writes to
        args = [
          "-euc"
          "${script}\n:"
        ];
        PATH = machine.tools;
      }
      // attributes
    );

  # a package made of links: where in it -> what on this machine
  linked =
    name: links:
    run name {
      links = builtins.toString (
        builtins.concatMap (place: [
          place
          links.${place}
        ]) (builtins.attrNames links)
      );
    } ''
      set -- $links
      while [ $# -gt 0 ]; do
        mkdir -p "$(dirname "$out/$1")"
        ln -s "$2" "$out/$1"
        shift 2
      done
    '';

  setup = run "setup" { } ''
    mkdir "$out"
    printf '%s\n' \
      'unset PATH' \
      'for package in $nativeBuildInputs; do PATH="''${PATH+$PATH:}$package/bin"; done' \
      'PATH="''${PATH+$PATH:}${machine.tools}"' \
      'export PATH' > "$out/setup"
  '';

  mkShellNoCC =
    {
      name ? "nix-shell",
      packages ? [ ],
      inputsFrom ? [ ],
      env ? { },
      shellHook ? "",
      passthru ? { },
    }:
    let
      # the last of the shells that it is made of begins, and its own comes after all of them
      hooks = builtins.foldl' (after: shell: [ (shell.shellHook or "") ] ++ after) [ ] inputsFrom;
      inherited = builtins.concatMap (shell: shell.nativeBuildInputs or [ ]) inputsFrom;
    in
    derivation (
      env
      // {
        inherit name system;
        shellHook = builtins.concatStringsSep "\n" (hooks ++ [ shellHook ]);
        builder = bash;
        args = [
          "-euc"
          "echo $nativeBuildInputs > $out"
        ];
        outputs = [ "out" ];
        stdenv = setup;
        nativeBuildInputs = packages ++ inherited;
        PATH = machine.tools;
      }
    )
    // passthru;

  # A Python that this machine has; one that it has not can be evaluated, and says so when it is built.
  python =
    minor:
    let
      attribute = "python${builtins.replaceStrings [ "." ] [ "" ] minor}";
      there = machine.pythons.${minor} or null;
      package =
        if there == null then
          run attribute { } "echo >&2 'no CPython ${minor} on this machine'; exit 1"
        else
          linked attribute {
            "bin/python${minor}" = there.executable;
            "lib/python${minor}" = there.library;
            "include/python${minor}" = there.headers;
          };
    in
    {
      name = attribute;
      value = package // {
        pythonVersion = minor;
        interpreter = "${package}/bin/python${minor}";
      };
    };

  pythons = builtins.listToAttrs (map python machine.minors);

  loader = linked "glibc" { "lib/${baseNameOf machine.loader}" = machine.loader; };

  compiler = linked "compiler" { bin = machine.tools; };

  lib = linked "host-libraries" (
    builtins.listToAttrs (
      map (path: {
        name = "lib/${baseNameOf path}";
        value = path;
      }) machine.libraries
    )
  );
in
pythons
// {
  inherit mkShellNoCC;
  python3 = pythons.${machine.python3};
  stdenv = {
    hostPlatform = { inherit system; };
    cc = compiler // {
      cc = { inherit lib; };
      bintools.dynamicLinker = "${loader}/lib/${baseNameOf machine.loader}";
    };
  };
  zlib = lib;
  coreutils = linked "coreutils" { bin = machine.tools; };
  bashInteractive = linked "bash" { "bin/bash" = bash; };
  cacert = linked "cacert" { "etc/ssl/certs/ca-bundle.crt" = machine.certificates; };
  nixfmt-tree = run "nixfmt-tree" { } "echo > $out";
  ffmpeg = run "ffmpeg" { } "mkdir -p $out/bin";

  runCommand =
    name: attributes: script:
    run name attributes script;

  runCommandCC =
    name: attributes: script:
    run name ({ nativeBuildInputs = [ compiler ]; } // attributes) script;

  # what the real one is asked for, and no more; its layers are the store paths that are reached from what is in it
  dockerTools.streamLayeredImage =
    {
      name,
      tag ? null,
      contents ? [ ],
      config ? { },
      extraCommands ? "",
    }:
    let
      image = run "image-${name}" {
        image = builtins.toJSON { inherit name tag config contents extraCommands; };
      } ''printf '%s\n' "$image" > "$out"'';
    in
    run "stream-${name}" {
      inherit image;
      # for each path that is reached: the path, what made it, how many it refers to, and those
      exportReferencesGraph = [
        "graph"
        image
      ];
      program = ./stream_image.py;
      python = machine.pythons.${pythons.${machine.python3}.pythonVersion}.executable;
    } ''
      paths=
      while read -r path && read -r _ && read -r count; do
        paths="$paths '$path'"
        while [ "$count" -gt 0 ]; do
          read -r _
          count=$((count - 1))
        done
      done < graph
      printf '%s\n' "#!${bash}" "exec '$python' '$program' '$image'$paths" > "$out"
      chmod +x "$out"
    '';

  fetchPypi =
    {
      pname,
      version,
      format,
      dist,
      python,
      abi,
      platform,
      sha256,
    }:
    {
      urls = [
        "${machine.pypi}/packages/${dist}/${builtins.substring 0 1 pname}/${pname}/${pname}-${version}-${python}-${abi}-${platform}.whl"
      ];
    };
}
