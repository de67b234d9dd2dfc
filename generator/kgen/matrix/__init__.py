"""The compatibility matrix: facts in TOML, read once into frozen records. Knows no request and no solver."""
