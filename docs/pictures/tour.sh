#!/usr/bin/env bash
# The session of docs/pictures/tour.svg. With zrecipe, asciinema (Debian) and showreel (PyPI) on the path:
#     asciinema rec --quiet --cols 86 --rows 26 --command "bash docs/pictures/tour.sh" tour.cast
#     showreel svg tour.cast -o docs/pictures/tour.svg

cd "$(mktemp -d)" || exit 2
export ZRECIPE_STATE=$PWD/.state HOME=$PWD

# Types a command, then runs it.
play() {
    printf '\033[32m$\033[0m '
    local word
    for word in $1; do
        printf '%s ' "$word"
        sleep 0.15
    done
    sleep 0.4
    echo
    eval "$1"
    sleep "${2:-1.5}"
}

cat >spots.json <<'END'
{
  "1": {
    "service": "Find spots",
    "queue": "per_image_analysis",
    "output": { "result": 2, "failure": [4] }
  },
  "2": { "queue": "ispyb_connector" },
  "start": [[1, []]]
}
END
play "zrecipe check spots.json" 3
play "sed -i 's/\[4\]/2/' spots.json" 0.5
play "zrecipe check spots.json"
play "zrecipe graph spots.json --format text" 2
play "zrecipe run example -p workingdir=." 3
