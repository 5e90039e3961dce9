# SPDX-License-Identifier: Apache-2.0
#
# What the tests of the network examples share; each begins with `. lib.sh`. They run as
#     sh tests/examples/<name>.sh FOLDER-OF-THE-EXAMPLES
# in a scratch folder of their own, talk to 127.0.0.1 only, and end with 77 (skipped) where a client
# is not installed. Waits are bounded, and end as soon as what they wait for has happened.
set -eu
bin=$1
scratch=$(mktemp -d)
servers=
finish() {
    status=$?
    trap - EXIT
    for pid in $servers; do kill -9 "$pid" 2> /dev/null || true; done
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        echo "--- what the processes wrote"
        for f in "$scratch"/*.log; do [ -f "$f" ] && echo "$f:" && head -n 20 "$f" | cut -c 1-120; done
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM
cd "$scratch"

fail() {
    echo "FAILED: $*"
    exit 1
}

need() { # COMMAND...
    for tool; do
        command -v "$tool" > /dev/null 2>&1 || { echo "$tool is not installed"; exit 77; }
    done
}

# Patience: 30 s, and ten times as much under a sanitizer (see cmake/WeftExamples.cmake).
tries=$((${WEFT_TEST_SLOWNESS:-1} * 300))
eventually() { # COMMAND...: until it succeeds
    n=0
    until "$@"; do
        n=$((n + 1))
        [ "$n" -lt "$tries" ] || fail "never came true: $*"
        sleep 0.1
    done
}

# serve NAME COMMAND...: starts a server of ours. Its pid in $pid, its address in $address, its
# output in NAME.log.
serve() {
    log=$1.log
    shift
    : > "$log"
    "$@" > "$log" 2>&1 &
    pid=$!
    servers="$servers $pid"
    eventually grep -q '^listening on ' "$log"
    address=$(sed -n 's/^listening on //p' "$log")
}

# talk NAME: an ncat to $port that is kept open: what is written to the fifo NAME.in goes out, and what
# comes back is in NAME.log. To be followed by `exec N> NAME.in`; the fifo is open for ncat then.
talk() {
    mkfifo "$1.in"
    : > "$1.log"
    ncat 127.0.0.1 "$port" < "$1.in" > "$1.log" & # the child opens the fifo, which waits for us
    servers="$servers $!"
}

# background COMMAND...: something else to be killed at the end. Its pid in $pid.
background() {
    "$@" &
    pid=$!
    servers="$servers $pid"
}

ended() { # PID: whether it is gone, or waits for us to look at its status
    case $(cut -d ' ' -f 3 "/proc/$1/stat" 2> /dev/null) in
    '' | Z) return 0 ;;
    *) return 1 ;;
    esac
}

# stop SIGNAL PID STATUS: the server must end with that status.
stop() {
    kill "-$1" "$2"
    eventually ended "$2"
    got=0
    wait "$2" || got=$?
    [ "$got" = "$3" ] || fail "ended with $got, not $3, after SIG$1"
}
