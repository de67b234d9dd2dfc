{
  lib,
  python3Packages,
  uv,
  makeWrapper,
}:

python3Packages.buildPythonApplication {
  pname = "keras-kgen";
  version = "0.1.0";
  pyproject = true;

  src = ../..;

  build-system = [ python3Packages.hatchling ];

  nativeBuildInputs = [ makeWrapper ];

  dependencies = with python3Packages; [
    jinja2
    nvidia-ml-py
    packaging
    platformdirs
    pyyaml
    requests
    rich
    shellingham
    tomlkit
    tomli
    typer
  ];

  # uv is a program in nixpkgs, and no module of Python
  pythonRemoveDeps = [ "uv" ];

  postFixup = ''
    wrapProgram $out/bin/kgen --prefix PATH : ${lib.makeBinPath [ uv ]}
  '';

  # they need an index, and more tools than a build has
  doCheck = false;

  pythonImportsCheck = [ "kgen" ];

  meta = {
    description = "One reproducible, GPU-proven Keras environment per backend, solved over CUDA and cuDNN and locked by hash";
    license = lib.licenses.asl20;
    mainProgram = "kgen";
    platforms = lib.platforms.linux;
  };
}
