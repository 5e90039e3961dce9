# SPDX-License-Identifier: Apache-2.0
# download from a local server: many files, one that is missing, one that breaks off, Ctrl-C.
. "$(dirname "$0")/lib.sh"
need python3

"$bin/download" > usage.log 2>&1 && fail "no URL is no success"
grep -q '^usage: ' usage.log || fail "no usage message"

mkdir files out
serve upstream python3 -u "$(dirname "$0")/upstream.py" files
upstream=$address
urls=
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    head -c $((i * i * 10000 + i)) /dev/urandom > "files/$i.bin"
    urls="$urls http://$upstream/$i.bin"
done
: > files/empty
mkdir files/sub
echo x > files/sub/x

"$bin/download" -j 3 -d out $urls "http://$upstream/empty" "http://$upstream/sub/x" 2> progress.log ||
    fail "status $?"
for f in files/*.bin files/empty files/sub/x; do cmp "$f" "out/${f##*/}"; done
grep -q '14 of 14 files' progress.log || fail "no progress"
[ "$(ls out | wc -l)" = 14 ] || fail "other files are left"

# One fails: the rest is called off, /slow among them, which would never end.
nothing_left() { # STATUS WORDS
    [ "$got" = "$1" ] || fail "status $got, not $1"
    grep -q "$2" error.log || fail "no message: $2"
    ls out | grep -q '\.part$' && fail "an unfinished file is left"
    rm -rf out && mkdir out
}
try() {
    got=0
    "$bin/download" -j 4 -d out "$@" 2> error.log || got=$?
}
rm -rf out && mkdir out
try "http://$upstream/slow" $urls "http://$upstream/missing"
nothing_left 1 '/missing: the server answers 404'
try "http://$upstream/slow" "http://$upstream/partial"
nothing_left 1 '/partial: Protocol error'
try -d nowhere "http://$upstream/1.bin"
nothing_left 1 'No such file or directory'
serve closed "$bin/echo" 127.0.0.1:0
closed=$address
stop INT "$pid" 0
try "http://$upstream/slow" "http://$closed/x"
nothing_left 1 'Connection refused'

# Ctrl-C while a file is being fetched.
background "$bin/download" -d out "http://$upstream/slow" 2> error.log
eventually test -s out/slow.part
stop INT "$pid" 1
got=1
nothing_left 1 '0 of 1 files'
