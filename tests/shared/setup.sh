# What the set-ups of suites share; they source it. Each lists first what is missing, and nothing is installed before all
# of it is printed. With `ZRECIPE_SETUP=no` nothing is installed at all: what is missing is an error with the command to type.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

# Cargo knows it, whether it comes from the environment, from a configuration or from nowhere.
target=$(cargo metadata --no-deps --offline --format-version 1 2>/dev/null |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
target=${target:-${CARGO_TARGET_DIR:-$PWD/target}}
PATH=$PATH:/usr/sbin
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"

whats=()
packages=()
steps=()

# A program that is missing: its name, and the packages of Debian that have it.
missing_package() {
    whats+=("$1: with apt-get${as_root:+ as root by sudo}, the packages ${*:2}")
    packages+=("${@:2}")
}

# Something else that is missing: what it is, and the command, which a shell runs.
missing_step() {
    whats+=("$1: with \`$2\`")
    steps+=("$2")
}

# Installs what is missing; fails if something of it is missing afterwards.
install_missing() {
    local failed=0 step
    [ ${#whats[@]} = 0 ] && return 0
    if [ "${ZRECIPE_SETUP:-}" = no ]; then
        printf 'error: missing, and not installed because of ZRECIPE_SETUP=no: %s\n' "${whats[@]%%: with *}" >&2
        [ ${#packages[@]} = 0 ] || echo "help: ${as_root:+sudo }apt-get install ${packages[*]}" >&2
        for step in "${steps[@]}"; do echo "help: $step" >&2; done
        return 1
    fi
    echo "$suite needs what is missing here, and installs it now (ZRECIPE_SETUP=no installs nothing):"
    printf '    %s\n' "${whats[@]}"
    if [ ${#packages[@]} != 0 ]; then
        # The packages would start servers of their own; only the tests start some.
        {
            $as_root apt-get update -q &&
                $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
                    apt-get install -y -q --no-install-recommends "${packages[@]}"
        } </dev/null >/dev/null || {
            echo "error: cannot install the packages ${packages[*]}; install them by hand" >&2
            failed=1
        }
    fi
    for step in "${steps[@]}"; do
        bash -c "$step" </dev/null || {
            echo "error: failed: $step" >&2
            failed=1
        }
    done
    return "$failed"
}

# A Python environment in the target directory: its name, what is imported from it, and the packages of PyPI.
python_environment() {
    local place=$target/tmp/$1 packages="${*:3}"
    "$place/bin/python" -c "import $2" 2>/dev/null ||
        missing_step "Python packages" "rm -rf '$place' && python3 -m venv '$place' && '$place/bin/pip' install -q $packages"
}
