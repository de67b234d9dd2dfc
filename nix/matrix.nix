# What Nix asks of the matrix: which accelerators there are, and how Keras's backends are called, run and installed.
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    filter
    fromTOML
    isString
    readFile
    split
    ;

  # TOML's dates are beyond Nix, and nothing here asks for one
  undated = text: concatStringsSep "" (filter isString (split "[a-z]+ = [0-9]{4}-[0-9]{2}-[0-9]{2}\n" text));
  read = name: fromTOML (undated (readFile ((import ./sources.nix).matrix + "/${name}.toml")));

  accelerators = read "accelerators";
  kinds = [ "cpu" ] ++ attrNames accelerators;
  generations = read "generations";
  backends = read "backends";
in
{
  inherit kinds;
  generations = attrNames generations;
  backends = attrNames backends;

  # what may stand behind a backend in the name of an environment: `cpu`, `cuda12`, `tpu`
  suffixes = [
    "cpu"
  ]
  ++ concatMap (
    kind: map (row: kind + (row.version or "")) (accelerators.${kind}.major or [ { } ])
  ) (attrNames accelerators);

  # a regular expression of an environment's name: what is before its accelerator, that, and the Python
  named = "(.+)-((${concatStringsSep "|" kinds})[0-9]*)(-py[0-9]+)?";

  # what kgen's training step has to know of a backend; null for one that the matrix does not have
  stepOf =
    name:
    let
      row = backends.${name};
      selected = row.environment.KERAS_BACKEND or name;
    in
    if backends ? ${name} then
      {
        backend = selected;
        step = row.step or selected;
        "import" = generations.${row.generation or "keras3"}.module;
      }
    else
      null;
}
