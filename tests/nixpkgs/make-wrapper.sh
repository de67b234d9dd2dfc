# What nixpkgs' makeWrapper brings into a build, as far as kgen's package uses it.
wrapProgram() {
  [ $# -eq 5 ] && [ "$2" = --prefix ] || {
    echo "wrapProgram: only --prefix is known: $*" >&2
    return 1
  }
  hidden="$(dirname "$1")/.$(basename "$1")-wrapped"
  mv "$1" "$hidden"
  printf '%s\n' "#!$BASH" "export $3=\"$5\${$3:+$4\$$3}\"" "exec $hidden \"\$@\"" > "$1"
  chmod +x "$1"
}
