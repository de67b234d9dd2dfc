# shellcheck shell=sh
# kgen: undoes the last activation of the environment jax-cpu in sh, dash, bash and zsh. Source it.
# Do not edit: `kgen lock` writes it again.
#
# Every variable is put back as the activation found it, whatever happened to it since. The record that is read here is
# described in activate.d/kgen.sh.
#
# Out of order: where other environments were activated after this one, they stay as they are. This activation only loses
# its owner, and is undone as soon as those above it are. Where this environment is not active, nothing happens.

# Which activation is meant: the topmost that this environment owns.
\export _KGEN_DEPTH="${KGEN_SHLVL-}" _KGEN_NAMES='' _KGEN_NAME='' _KGEN_FOUND=''
while \:; do
  case "${_KGEN_DEPTH}" in
    '' | 0* | *[!0123456789]* | ??????????*) \break ;;
  esac
  \eval "\\export _KGEN_NAMES=\"\${_KGEN_SAVED_${_KGEN_DEPTH}__KGEN_NAMES-}\""
  case "${_KGEN_NAMES}" in
    '') \break ;;
  esac
  \eval "\\export _KGEN_FOUND=\"\${_KGEN_SAVED_${_KGEN_DEPTH}__KGEN_OWNER-}\""
  case "${_KGEN_FOUND}" in
    'jax-cpu')
      \unset -v "_KGEN_SAVED_${_KGEN_DEPTH}__KGEN_OWNER"
      \break
      ;;
  esac
  \export _KGEN_DEPTH="$((_KGEN_DEPTH - 1))"
done

# Undoes what is on top and has no owner.
while \:; do
  case "${KGEN_SHLVL-}" in
    '' | 0* | *[!0123456789]* | ??????????*) \break ;;
  esac
  \eval "\\export _KGEN_NAMES=\"\${_KGEN_SAVED_${KGEN_SHLVL}__KGEN_NAMES-}\""
  \eval "\\export _KGEN_FOUND=\"\${_KGEN_SAVED_${KGEN_SHLVL}__KGEN_OWNER+owned}\""
  case "${_KGEN_FOUND}:${_KGEN_NAMES}" in
    owned:* | :) \break ;;
  esac
  while \:; do
    case "${_KGEN_NAMES}" in
      *' '*) ;;
      *) \break ;;
    esac
    \export _KGEN_NAME="${_KGEN_NAMES%% *}" _KGEN_NAMES="${_KGEN_NAMES#* }"
    \export _KGEN_FOUND="${_KGEN_NAME#*:}" _KGEN_NAME="${_KGEN_NAME%%:*}"
    case "${_KGEN_NAME}" in
      '' | [0123456789]* | *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_]*) \continue ;;
    esac
    case "${_KGEN_FOUND}" in
      exported) \eval "\\export ${_KGEN_NAME}=\"\${_KGEN_SAVED_${KGEN_SHLVL}_${_KGEN_NAME}-}\"" ;;
      local)
        \unset -v "${_KGEN_NAME}"
        \eval "${_KGEN_NAME}=\"\${_KGEN_SAVED_${KGEN_SHLVL}_${_KGEN_NAME}-}\""
        ;;
      unset) \unset -v "${_KGEN_NAME}" ;;
    esac
    \unset -v "_KGEN_SAVED_${KGEN_SHLVL}_${_KGEN_NAME}"
  done
  \unset -v "_KGEN_SAVED_${KGEN_SHLVL}__KGEN_NAMES"
  \export KGEN_SHLVL="$((KGEN_SHLVL - 1))"
  case "${KGEN_SHLVL}" in
    0) \unset -v KGEN_SHLVL ;;
  esac
done
\unset -v _KGEN_DEPTH _KGEN_NAMES _KGEN_NAME _KGEN_FOUND
